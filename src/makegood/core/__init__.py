"""The core: what an execution does, as a pure state machine. No clock, no chance, no I/O, no package of others."""

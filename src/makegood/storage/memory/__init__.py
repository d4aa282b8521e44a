"""A store that lives and dies with the process: for tests, the simulator and `:memory:`.

Strangers keep out: it keeps every promise of the ports but durability, and records pass through the
codec, so that what works here works on disk.
"""

from makegood.storage.memory.journal import MemoryStore

__all__ = ["MemoryStore"]

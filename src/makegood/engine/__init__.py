"""The engine: the async shell around the core. It sends, waits and appends; it judges nothing."""

"""The statements of `queries.sql` by name. Strangers keep out: no connection, no values."""

from __future__ import annotations

from importlib import resources

from makegood.storage.statements import named

QUERIES = named(resources.files(__package__).joinpath("queries.sql").read_text("utf-8"))
"""Name to statement."""

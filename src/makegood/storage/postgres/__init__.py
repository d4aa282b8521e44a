"""One PostgreSQL database shared by any number of engines (asyncpg, ends on nothing but the protocol).

Strangers keep out: asyncpg is imported here and nowhere else, and this package only when such a
database is opened. Nothing relies on advisory locks or on LISTEN.
"""

from makegood.storage.postgres.journal import PostgresStore

__all__ = ["PostgresStore"]

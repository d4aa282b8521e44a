"""One SQLite file as the database of one engine (apsw, write-ahead log, one writer).

Strangers keep out: apsw is imported here and nowhere else, and this package only when a file is
opened.
"""

from makegood.storage.sqlite.inbox import SqliteInbox
from makegood.storage.sqlite.journal import SqliteStore
from makegood.storage.sqlite.lock import Holder, lock_holder
from makegood.storage.sqlite.purging import purge

__all__ = ["Holder", "SqliteInbox", "SqliteStore", "lock_holder", "purge"]

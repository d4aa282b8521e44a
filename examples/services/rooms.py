"""A hotel's rooms as a service of their own: SQLite, and `makegood.participant` for what a service owes.

    python examples/services/rooms.py [--port 9010] [--database rooms.db] [--delay-ms N]

`reserve` and `cancel`, `charge` and `refund`. Everything done and undone is a line in its table `ledger`, written in
the transaction of the effect; kill it whenever you like. `--port 0` takes a free port; the port is printed.
"""

from __future__ import annotations

import argparse
import socket
import sqlite3
import time
from typing import Any

import uvicorn

from makegood.participant import Barrier, Delivery, Methods, Rejected, effect_key

PRICE_MAX = 1000
TABLES = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS room (number INTEGER PRIMARY KEY, guest TEXT, effect TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS ledger (place INTEGER PRIMARY KEY, effect TEXT NOT NULL, what TEXT NOT NULL);
WITH RECURSIVE door (number) AS (SELECT 101 UNION ALL SELECT number + 1 FROM door WHERE number < 160)
INSERT OR IGNORE INTO room (number) SELECT number FROM door;
"""


def service(database: str, delay_s: float = 0.0) -> Methods:
    """The application.

    Args:
        database: Path of the file.
        delay_s: How long each call takes in the middle of its work.
    """
    barrier = Barrier(lambda: sqlite3.connect(database), wait_s=20)

    def note(db: sqlite3.Connection, call: Delivery, what: str) -> None:
        time.sleep(delay_s)
        db.execute("INSERT INTO ledger (effect, what) VALUES (?, ?)", (effect_key(call.key), what))

    @barrier
    def reserve(db: sqlite3.Connection, input: dict[str, Any], call: Delivery) -> dict[str, Any]:  # noqa: A002
        row = db.execute("SELECT number FROM room WHERE guest IS NULL ORDER BY number LIMIT 1").fetchone()
        if row is None:
            raise Rejected("sold_out", "There is no room left.")
        values = (input["guest"], effect_key(call.key), row[0])
        db.execute("UPDATE room SET guest = ?, effect = ? WHERE number = ?", values)
        note(db, call, "reserved")
        return {"room": row[0]}

    @barrier
    def cancel(db: sqlite3.Connection, call: Delivery) -> None:
        db.execute("UPDATE room SET guest = NULL, effect = NULL WHERE effect = ?", (effect_key(call.key),))
        note(db, call, "cancelled")

    @barrier
    def charge(db: sqlite3.Connection, input: dict[str, Any], call: Delivery) -> dict[str, Any]:  # noqa: A002
        note(db, call, "charged")
        if input["price"] > PRICE_MAX:
            raise Rejected("card_declined", f"No more than {PRICE_MAX}.")
        return {"paid": input["price"]}

    @barrier
    def refund(db: sqlite3.Connection, call: Delivery) -> None:
        note(db, call, "refunded")

    return Methods(reserve, cancel, charge, refund)


def main() -> None:
    """Serve until told to stop."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--port", type=int, default=9010)
    arguments.add_argument("--database", default="rooms.db")
    arguments.add_argument("--delay-ms", type=int, default=0)
    given = arguments.parse_args()
    db = sqlite3.connect(given.database)
    db.executescript(TABLES)
    db.close()
    listener = socket.create_server(("127.0.0.1", given.port), backlog=128)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(service(given.database, given.delay_ms / 1000), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

"""One replica in a process of its own, for tests that kill and stop it: `python replica_process.py DSN URL LEASE`.

Prints `ready` once it takes part. SIGTERM has it leave in order.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import makegood as mg


async def main(dsn: str, url: str, lease_s: str) -> None:
    leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    async with mg.Engine(dsn, lease_seconds=float(lease_s), drain_seconds=0.2) as engine:
        engine.register("s", url)
        await engine.resume()
        print("ready", flush=True)
        await leave.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

#!/usr/bin/env python3
"""Three short scenes with the trip: booked, made good, and resumed after `kill -9`. Takes some seconds.

    python examples/demo.py

Starts the example services on a free port and runs `python -m makegood run` against them. Everything is kept in
a temporary folder that is gone afterwards. Ends with 0 only if the services' own ledger says that all is as
promised.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

HERE = Path(__file__).resolve().parent
TRIP = HERE / "trip"
SERVICES = ("hotels", "flights", "trains", "payments", "mail")
DELAY_MS = 150
RUN_S_MAX = 60
FORWARD = {"hotel", "flight", "train", "spa", "pay", "confirm"}
COMPLETED, COMPENSATED = 0, 3


class Broken(Exception):
    """A promise was not kept."""


def expect(fact: bool, promise: str) -> None:
    """Say that a promise was kept, or stop."""
    if not fact:
        raise Broken(promise)
    print(f"  {paint('✓', '32')} {promise}")


def paint(text: str, colour: str) -> str:
    """Colour, where someone may be looking."""
    return f"\033[{colour}m{text}\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


def heading(text: str) -> None:
    """A scene begins."""
    print(f"\n{paint(text, '1')}\n{paint('─' * len(text), '2')}", flush=True)


@contextmanager
def services(ledger: Path) -> Iterator[str]:
    """The example services, running; gives their address."""
    command = [
        sys.executable, str(HERE / "services" / "serve.py"),
        "--port", "0", "--ledger", str(ledger), "--delay-ms", str(DELAY_MS),
    ]  # fmt: skip
    process = subprocess.Popen(  # noqa: S603 our own command
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise Broken("The example services start.")
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process that this script started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


class Stage:
    """Where the scenes play: the services' address, and the engine's database."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.folder = folder

    def command(self, execution: str, given: str) -> list[str]:
        """The command line, whole."""
        known = [f"--service={name}={self.address}/{name}" for name in SERVICES]
        return [
            sys.executable, "-m", "makegood", "run", str(TRIP / "trip.yaml"),
            "--input", f"@{TRIP / 'inputs' / given}", "--id", execution,
            "--database", str(self.folder / "demo.db"), "--json", *known,
        ]  # fmt: skip

    def start(self, execution: str, given: str) -> subprocess.Popen[str]:
        """`makegood run`, under way."""
        print(paint(f"$ makegood run trip.yaml --input @inputs/{given} --id {execution}", "36"), flush=True)
        environment = dict(os.environ)
        source = HERE.parent / "src"
        if source.is_dir():
            paths = [str(source), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        return subprocess.Popen(  # noqa: S603 our own command
            self.command(execution, given), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, text=True, cwd=self.folder, env=environment,
        )  # fmt: skip

    def run(self, execution: str, given: str) -> tuple[int, dict[str, Any]]:
        """`makegood run` to its end: the exit code and the result."""
        process = self.start(execution, given)
        try:
            out, err = process.communicate(timeout=RUN_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Broken(f"The run ends within {RUN_S_MAX} seconds.") from None
        try:
            result = json.loads(out)
        except ValueError:
            raise Broken(f"The run prints its result as JSON. It said:\n{out}\n{err}") from None
        print(f"  {result.get('status')}, exit code {process.returncode}")
        return process.returncode, result

    def ledger(self, execution: str) -> dict[str, Any]:
        """What the services did for one execution."""
        with urlopen(f"{self.address}/ledger?execution={execution}", timeout=10) as reply:  # noqa: S310 our own address
            return dict(json.load(reply))


def show(ledger: dict[str, Any]) -> None:
    """The calls in the order in which the services saw them."""
    for number, call in enumerate(ledger["calls"], 1):
        undo = call["key"].endswith(":undo")
        if call.get("repeated"):
            said = "seen before: the same answer, nothing done twice"
        elif call["status"] >= 400:
            said = f"refused: {call['body']['error']['message']}"
        else:
            said = "undone" if undo else "done" if call["change"] else "answered"
        arrow = paint("↶", "33") if undo else "→"
        print(f"  {number:2} {arrow} {call['call']:<18} {said}")


def effects(ledger: dict[str, Any]) -> dict[str, int]:
    """How often each step's effect was made, whatever became of it."""
    made: dict[str, int] = {}
    for call in ledger["calls"]:
        if call["change"] > 0:
            made[call["step"]] = made.get(call["step"], 0) + 1
    return made


def undone(ledger: dict[str, Any]) -> list[str]:
    """The undos that took an effect away, in order."""
    return [call["call"] for call in ledger["calls"] if call["change"] < 0]


def booked(stage: Stage) -> None:
    """The trip as it should be."""
    heading("1. A trip is booked")
    print("A hotel, then a flight and a train side by side, a spa because the trip is long, then the card is charged.")
    code, result = stage.run("trip-booked", "ok.json")
    ledger = stage.ledger("trip-booked")
    show(ledger)
    expect(code == COMPLETED and result.get("status") == "completed", "The trip is completed, with exit code 0.")
    expect(effects(ledger) == dict.fromkeys(FORWARD, 1), "Every booking was made exactly once.")
    expect(not undone(ledger), "Nothing was undone.")


def made_good(stage: Stage) -> None:
    """The trip with a declined card."""
    heading("2. The card is declined, and all is made good")
    print("The same trip with a card that the bank refuses. By then everything else is booked.")
    code, result = stage.run("trip-declined", "payment-declined.json")
    ledger = stage.ledger("trip-declined")
    show(ledger)
    error = result.get("error") or {}
    back = undone(ledger)
    expect(code == COMPENSATED and result.get("status") == "compensated", "The trip is compensated, with exit code 3.")
    expect(error.get("code") == "card_declined", "The error is the bank's: card_declined.")
    outer = (back[:1], back[-1:])
    expect(outer == (["hotels.drop_spa"], ["hotels.cancel"]), "Undone in reverse: the spa first, the hotel last.")
    expect(sorted(back[1:-1]) == ["flights.cancel", "trains.cancel"], "The flight and the train went back in between.")
    expect(ledger["standing"] == [], "No booking is left behind.")


def resumed(stage: Stage) -> None:
    """The trip through a crash."""
    heading("3. kill -9 in the middle, and the same command again")
    print("The engine is killed without warning while bookings are under way and their answers still to come.")
    process = stage.start("trip-1", "ok.json")
    try:
        wait_for(lambda: len(stage.ledger("trip-1")["calls"]) >= 3 or process.poll() is not None)
        process.kill()
        process.communicate(timeout=10)
    finally:
        stop(process)
    before = stage.ledger("trip-1")
    print("  killed. Until then the services saw:")
    show(before)
    expect(process.returncode < 0, "The engine was killed before it could finish.")
    expect(set(effects(before)) < FORWARD, "A part of the trip is booked, a part is not.")
    code, result = stage.run("trip-1", "ok.json")
    ledger = stage.ledger("trip-1")
    show(ledger)
    expect(code == COMPLETED and result.get("status") == "completed", "The same command finished the trip.")
    expect(effects(ledger) == dict.fromkeys(FORWARD, 1), "Every booking is there once, also those the kill cut off.")
    expect(not undone(ledger), "Nothing was undone.")


def wait_for(fact: Callable[[], bool]) -> None:
    """Until the fact holds."""
    end = time.monotonic() + RUN_S_MAX
    while not fact():
        if time.monotonic() > end:
            raise Broken(f"The services are called within {RUN_S_MAX} seconds.")
        time.sleep(0.02)


def main() -> int:
    """Play the scenes."""
    with tempfile.TemporaryDirectory(prefix="makegood-demo-") as folder:
        try:
            with services(Path(folder) / "ledger.jsonl") as address:
                stage = Stage(address, Path(folder))
                for scene in (booked, made_good, resumed):
                    scene(stage)
        except Broken as promise:
            print(f"  {paint('✗', '31')} {promise}", flush=True)
            return 1
    print(f"\n{paint('All as promised.', '1;32')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

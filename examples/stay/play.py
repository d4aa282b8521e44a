#!/usr/bin/env python3
"""Five short scenes with the stay: its services are killed with `kill -9` and return. Takes half a minute.

    python examples/stay/play.py

Starts `rooms.py` and an nginx on free ports, and `makegood serve` before them, all in a temporary folder that is gone
afterwards. Ends with 0 only if what the services themselves have on disk is as promised: the table `ledger` of the
rooms, and the files of nginx. Ends with 1 if a promise is broken, with 2 if nginx is not installed.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from http.client import HTTPException
from pathlib import Path
from typing import Any

from processes import Broken, Desk, Makegood, Rooms, nginx, until

HERE = Path(__file__).resolve().parent
GUESTS = 12
DECLINED_EACH = 4  # of so many guests one has a card that is declined
RESERVED, CHARGED, CANCELLED = "reserved", "charged", "cancelled"


def expect(fact: bool, promise: str) -> None:
    """Say that a promise was kept, or stop."""
    if not fact:
        raise Broken(promise)
    print(f"  ✓ {promise}", flush=True)


def say(text: str) -> None:
    """What was done or seen."""
    print(f"  {text}", flush=True)


def heading(text: str) -> None:
    """A scene begins."""
    print(f"\n{text}\n{'─' * len(text)}", flush=True)


class Stage:
    """The services, the server before them, and what is on the services' disks."""

    def __init__(self, folder: Path, program: str) -> None:
        self.rooms = Rooms(folder)
        self.desk = Desk(folder, program)
        self.makegood = Makegood(folder, self.rooms, self.desk)

    def open(self) -> None:
        """Start everything, and register the workflow."""
        self.rooms.start()
        self.desk.start()
        self.makegood.start()
        definition = (HERE / "stay.yaml").read_bytes()
        status, _ = self.makegood.ask("PUT", "/v1/workflows/stay", definition, "application/yaml")
        if status != 201:
            raise Broken("The workflow is registered.")

    def close(self) -> None:
        """Stop everything that was started."""
        for process in (self.makegood, self.desk, self.rooms):
            process.kill()

    def begin(self, execution: str, price: int) -> None:
        """A guest comes."""
        body = {"workflow": "stay", "id": execution, "input": {"guest": execution, "price": price}}
        status, answer = self.makegood.ask("POST", "/v1/executions", json.dumps(body).encode())
        if status not in (200, 201):
            raise Broken(f"Execution {execution} is started. It was answered {status}: {answer}")

    def begin_all(self, scene: str) -> dict[str, str]:
        """Guests, some of them with a card that is declined; how each execution has to end."""
        ends = {}
        for number in range(GUESTS):
            declined = number % DECLINED_EACH == 0
            self.begin(f"{scene}-{number}", 1200 if declined else 300)
            ends[f"{scene}-{number}"] = "compensated" if declined else "completed"
        return ends

    def end(self, execution: str) -> dict[str, Any]:
        """The execution, when it has ended."""
        return dict(self.makegood.ask("GET", f"/v1/executions/{execution}?wait=60s")[1])

    def ended(self, ends: dict[str, str]) -> bool:
        """Whether each execution ended as it has to."""
        return {each: self.end(each)["status"] for each in ends} == ends

    def waiting(self, service: str) -> int:
        """How many executions wait for the service."""
        return int(self.makegood.ask("GET", f"/v1/services/{service}")[1]["waiting"]["count"])

    def all_wait(self, promise: str) -> None:
        """Every guest of the scene comes to wait for the vouchers."""
        until(promise, lambda: self.waiting("vouchers") == GUESTS)
        say(f"✓ {promise}")

    def unwell(self, service: str) -> bool:
        """Whether health checks find it unwell."""
        endpoint = self.makegood.ask("GET", f"/v1/services/{service}")[1]["endpoints"][0]
        return not endpoint["healthy"]

    def kept(self, ends: dict[str, str]) -> bool:
        """Whether the disks of both services say what follows from how the executions ended: each effect once."""
        for execution, end in ends.items():
            lines = self.rooms.lines(execution)
            if end == "completed":
                held = lines == {("room", RESERVED): 1, ("pay", CHARGED): 1} and self.desk.voucher(execution) == {
                    "guest": execution, "room": self.rooms.room(execution),
                }  # fmt: skip
            else:
                held = lines == {("room", RESERVED): 1, ("room", CANCELLED): 1} and (
                    self.desk.voucher(execution) is None and self.rooms.room(execution) is None
                )
            if not held:
                say(f"{execution} ({end}): rooms say {dict(lines)}, nginx {self.desk.voucher(execution)}")
                return False
        return True


def booked(stage: Stage) -> None:
    """Everything is well; a card is taken, another one is not."""
    heading("1. A stay is booked, another one is made good")
    stage.begin("ada", 300)
    stage.begin("grace", 1200)
    ends = {"ada": "completed", "grace": "compensated"}
    expect(stage.ended(ends), "Ada's stay is completed; Grace's card is declined, and her stay is compensated.")
    say(f"nginx has {stage.desk.names()}; Ada's says {stage.desk.voucher('ada')}")
    expect(stage.kept(ends), "Ada has a room, a voucher and a charge. Grace's voucher is deleted, her room is free.")


def away(stage: Stage) -> None:
    """The nginx is killed, guests come, the engine is killed too; both return."""
    heading("2. nginx is killed, and returns")
    stage.desk.kill()
    say("nginx: kill -9")
    until("makegood finds nginx unwell", lambda: stage.unwell("vouchers"))
    ends = stage.begin_all("away")
    stage.all_wait(f"All {GUESTS} stays that were begun meanwhile wait for the service vouchers.")
    said = {what for each in ends for (_, what) in stage.rooms.lines(each)}
    expect(said == {RESERVED}, "Their rooms are reserved, and nothing else was done.")
    stage.makegood.kill()
    stage.makegood.start()
    say("makegood serve: kill -9, and started again")
    stage.all_wait(f"All {GUESTS} still wait.")
    stage.desk.start()
    say("nginx: started again")
    expect(stage.ended(ends), "All finish: the declined cards are made good, the others are completed.")
    attempts = [step["attempts"] for each in ends for step in stage.end(each)["steps"] if step["step"] == "voucher"]
    expect(attempts == [1] * GUESTS, "Each voucher was asked for once: waiting took no attempt.")
    expect(stage.kept(ends), "Both services have each effect once, and nothing of those that were made good.")


def struck(stage: Stage) -> None:
    """The rooms are killed in the middle of their work."""
    heading("3. The rooms are killed in the middle of their work, and return")
    ends = stage.begin_all("struck")
    until("the rooms are at work", lambda: stage.rooms.written(ends) >= GUESTS // 2)
    stage.rooms.kill()
    done = stage.rooms.written(ends)
    say(f"rooms: kill -9, with {done} lines in their ledger; what was under way has no answer")
    until("stays wait for the rooms", lambda: stage.waiting("rooms") > 0)
    say(f"{stage.waiting('rooms')} stays wait for the service rooms")
    stage.rooms.start()
    say("rooms: started again")
    expect(stage.ended(ends), "All finish: the declined cards are made good, the others are completed.")
    expect(stage.kept(ends), "Each effect is there once, also those whose answer the kill took away.")


def both(stage: Stage) -> None:
    """Both are killed while guests come."""
    heading("4. Both are killed, and return one after the other")
    stage.desk.kill()
    ends = stage.begin_all("both")
    stage.rooms.kill()
    say("nginx: kill -9; rooms: kill -9 with the guests at the door")
    until("makegood finds both unwell", lambda: stage.unwell("vouchers") and stage.unwell("rooms"))
    stage.rooms.start()
    say("rooms: started again")
    stage.all_wait(f"All {GUESTS} stays wait for the vouchers.")
    stage.desk.start()
    say("nginx: started again")
    expect(stage.ended(ends), "All finish: the declined cards are made good, the others are completed.")
    expect(stage.kept(ends), "Both services have each effect once.")


def gone(stage: Stage) -> None:
    """The nginx does not return within `wait_seconds`."""
    heading("5. nginx does not return in time, and what was done is made good")
    stage.makegood.kill()
    stage.makegood.start(MAKEGOOD_SERVICES__VOUCHERS__WAIT_SECONDS="0.2")
    stage.desk.kill()
    say("nginx: kill -9; wait_seconds is 0.2 from here on")
    until("makegood finds nginx unwell", lambda: stage.unwell("vouchers"))
    stage.begin("late", 300)
    ended = stage.end("late")
    error = ended["error"] or {}
    say(f"late: {ended['status']}, {error.get('code')} at {error.get('step')}")
    expect(
        (ended["status"], error.get("code"), error.get("step")) == ("compensated", "service_unavailable", "voucher"),
        "The stay is compensated, because the vouchers were not there.",
    )
    expect(stage.kept({"late": "compensated"}), "Its room was reserved and is free again; there is no voucher.")
    stage.desk.start()
    say("nginx: started again")
    until("makegood finds nginx well", lambda: not stage.unwell("vouchers"))
    stage.begin("next", 300)
    expect(stage.ended({"next": "completed"}), "The next stay is completed.")
    expect(stage.kept({"next": "completed"}), "It has a room, a voucher and a charge.")


def main() -> int:
    """Play the scenes."""
    program = nginx()
    if program is None:
        print(
            "nginx is not installed; on Debian and Ubuntu `apt-get install nginx-light` installs it.", file=sys.stderr
        )
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="makegood-stay-") as folder:
        stage = Stage(Path(folder), program)
        try:
            stage.open()
            for scene in (booked, away, struck, both, gone):
                scene(stage)
        except Broken as promise:
            print(f"  ✗ {promise}", flush=True)
            return 1
        except (OSError, HTTPException) as error:
            print(f"  ✗ A process of the play does not answer: {error!r}", flush=True)
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            stage.close()
    print("\nAll as promised.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Each example from the command line, against the services: how it ends, and who was called in what order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from example_services import EXAMPLES, ExampleServices

pytestmark = pytest.mark.slow

TICKETS = {"flights.book", "trains.book"}
TRIP = ["hotels.reserve", "tickets", "hotels.add_spa", "payments.charge"]
RING = ["images.resolve", "fleet.flash", "fleet.health", "fleet.flash", "fleet.flash", "fleet.flash"]

# definition, input, exit code, code of the error, calls in order ("tickets": the two in either order)
RUNS: list[tuple[str, str, int, str | None, list[str]]] = [
    ("trip/trip", "ok", 0, None, [*TRIP, "mail.send"]),
    ("trip/trip", "payment-declined", 3, "card_declined", [*TRIP, "hotels.drop_spa", "tickets back", "hotels.cancel"]),
    ("trip/trip", "sold-out", 3, "sold_out", ["hotels.reserve"]),
    (
        "orders/order", "ok", 0, None,
        ["inventory.reserve", "payments.authorize", "parcels.book", "warehouse.wrap", "payments.capture", "mail.send"],
    ),
    (
        "orders/order", "carrier-outage", 0, None,
        ["inventory.reserve", "payments.authorize", *["parcels.book"] * 3, "payments.capture", "mail.send"],
    ),
    (
        "orders/order", "payment-declined", 3, "card_declined",
        ["inventory.reserve", "payments.authorize", "inventory.release"],
    ),
    (
        "orders/order", "no-carrier", 3, "no_carrier",
        ["inventory.reserve", "payments.authorize", "payments.void", "inventory.release"],
    ),
    ("orders/order", "fraud", 3, "fraud_suspected", ["inventory.reserve", "fraud.score", "inventory.release"]),
    ("firmware/rollout", "ok", 0, None, [*RING, "fleet.health", "fleet.publish"]),
    ("firmware/rollout", "canary-unhealthy", 3, "canary_unhealthy", [*RING[:3], "fleet.restore"]),
    ("firmware/rollout", "battery-low", 3, "battery_low", [*RING, *["fleet.restore"] * 3]),
    ("purchase/purchase", "over-budget", 3, "over_budget", ["budgets.hold"]),
    (
        "checkout/checkout", "payment-declined", 3, "card_declined",
        ["inventory.reserve", "payments.charge", "inventory.release"],
    ),
    ("firmware/rollout", "ring-unhealthy", 3, "ring_unhealthy", [*RING, "fleet.health", *["fleet.restore"] * 4]),
]  # fmt: skip


def run(services: ExampleServices, folder: Path, definition: str, given: str) -> tuple[int, dict[str, Any]]:
    file = EXAMPLES / f"{definition}.yaml"
    known = services.request("/healthz", method="GET")[1]["services"]
    command = [
        sys.executable, "-m", "makegood", "run", str(file),
        "--input", f"@{file.parent / 'inputs' / given}.json", "--id", f"{file.stem}-{given}",
        "--database", str(folder / "runs.db"), "--json",
        *(f"--service={name}={services.address}/{name}" for name in known),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=folder, check=False,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "src")},
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def in_order(calls: list[str]) -> list[str]:
    """The two tickets as one entry where they stand side by side."""
    found: list[str] = []
    backs = {"flights.cancel", "trains.cancel"}
    for call in calls:
        name = "tickets" if call in TICKETS else "tickets back" if call in backs else call
        if name.startswith("tickets") and found[-1:] == [name]:
            continue
        found.append(name)
    return found


@pytest.mark.parametrize(
    ("definition", "given", "code", "error", "calls"), RUNS, ids=[f"{run[0]}-{run[1]}" for run in RUNS]
)
def test_an_example_ends_as_its_readme_says(
    services: ExampleServices, tmp_path: Path, definition: str, given: str, code: int, error: str | None,
    calls: list[str],
) -> None:  # fmt: skip
    returned, result = run(services, tmp_path, definition, given)

    ledger = services.ledger(result["id"])
    assert returned == code
    assert result["status"] == ("completed" if code == 0 else "compensated")
    assert (result.get("error") or {}).get("code") == error
    assert in_order([call["call"] for call in ledger["calls"]]) == calls
    assert bool(ledger["standing"]) == (code == 0)


def test_a_refused_row_is_undone_alone(services: ExampleServices, tmp_path: Path) -> None:
    code, result = run(services, tmp_path, "contacts/contacts", "bad-rows")

    assert code == 0
    assert [each["row"] for each in result["output"]["refused"]] == [1, 2]
    rows = [f"{result['id']}:{step}[{row}]" for step in ("contact", "subscription") for row in (0, 3)]
    assert services.ledger(result["id"])["standing"] == rows


def test_a_wrong_file_leaves_nothing(services: ExampleServices, tmp_path: Path) -> None:
    code, result = run(services, tmp_path, "contacts/contacts", "wrong-file")

    assert (code, result["error"]["code"]) == (3, "too_many_refused")
    assert services.ledger(result["id"])["standing"] == []


def test_devices_go_back_last_one_first(services: ExampleServices, tmp_path: Path) -> None:
    _, result = run(services, tmp_path, "firmware/rollout", "ring-unhealthy")

    booked = [call["step"] for call in services.ledger(result["id"])["calls"] if call["change"] > 0]
    back = [call["step"] for call in services.ledger(result["id"])["calls"] if call["change"] < 0]
    assert len(back) == len(booked)
    assert back[-1] == "flash_canary"


def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    demo = [sys.executable, str(EXAMPLES / "demo.py")]
    done = subprocess.run(
        demo, capture_output=True, text=True, timeout=110, cwd=tmp_path, check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "All as promised." in done.stdout
    assert list(tmp_path.iterdir()) == []

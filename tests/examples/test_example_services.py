"""The example services are what rule 20 asks of services, and they keep what they were told."""

from __future__ import annotations

import json
import socket
from http.client import RemoteDisconnected
from pathlib import Path

import pytest
from example_services import ExampleServices, example_services

# What is sent, as (do or undo, status); the balance and the tombstone that must come of it.
RULE_20 = {
    "do": ([("do", 200)], 1, False),
    "the same do again": ([("do", 200), ("do", 200), ("do", 200)], 1, False),
    "do, undo": ([("do", 200), ("undo", 200)], 0, False),
    "do, the same undo again": ([("do", 200), ("undo", 200), ("undo", 200)], 0, False),
    "undo that never met a do": ([("undo", 200)], None, True),
    "undo before do": ([("undo", 200), ("do", 409)], None, True),
    "undo before do, the same do again": ([("undo", 200), ("do", 409), ("do", 409), ("undo", 200)], None, True),
    "late repeat of a do that was undone": ([("do", 200), ("undo", 200), ("do", 200)], 0, False),
}


@pytest.mark.parametrize("case", RULE_20)
def test_rule_20(services: ExampleServices, case: str) -> None:
    sent, balance, tombstone = RULE_20[case]
    name = case.replace(" ", "-").replace(",", "")

    replies = [
        services.call("hotels.reserve" if what == "do" else "hotels.cancel", f"{name}:hotel:{what}", {"nights": 2})
        for what, _ in sent
    ]

    ledger = services.ledger(name)
    assert [status for status, _ in replies] == [status for _, status in sent]
    assert ledger["balance"].get(f"{name}:hotel") == balance
    assert ledger["tombstones"] == ([f"{name}:hotel"] if tombstone else [])


def test_the_same_key_has_the_same_answer_whatever_the_input(services: ExampleServices) -> None:
    first = services.call("hotels.reserve", "same:hotel:do", {"nights": 2})
    second = services.call("hotels.reserve", "same:hotel:do", {"nights": 99})

    assert first == second
    assert [call.get("repeated", False) for call in services.ledger("same")["calls"]] == [False, True]


def test_a_refusal_is_repeated_and_leaves_nothing(services: ExampleServices) -> None:
    first = services.call("hotels.reserve", "no:hotel:do", {"nights": 99})
    second = services.call("hotels.reserve", "no:hotel:do", {"nights": 1})

    assert first == second
    assert first[0] == 409
    assert first[1]["error"]["code"] == "sold_out"
    assert services.ledger("no")["standing"] == []


def test_reading_has_no_effect(services: ExampleServices) -> None:
    services.call("hotels.city_map", "read:map:do")

    assert services.ledger("read")["balance"] == {}


REFUSED = [
    ("hotels.reserve", {"nights": 31}, 409, "sold_out"),
    ("flights.book", {"destination": "Atlantis"}, 409, "no_such_airport"),
    ("payments.charge", {"card": "4000-0000-0000-0002"}, 409, "card_declined"),
    ("payments.authorize", {"card": "4000-0000-0000-0002"}, 409, "card_declined"),
    ("inventory.reserve", {"items": [{"quantity": 101}]}, 409, "out_of_stock"),
    ("images.resolve", {"version": "0.0.0"}, 404, "no_such_image"),
    ("fleet.flash", {"device": "d-lowbattery"}, 409, "battery_low"),
    ("budgets.hold", {"amount": 5001}, 409, "over_budget"),
    ("contacts.create", {"email": "nobody"}, 409, "bad_address"),
    ("newsletter.subscribe", {"email": "m@mailinator.example"}, 409, "disposable_address"),
    ("inventory.confirm", {"broken": True}, 409, "goods_broken"),
    ("payroll.enroll", {"country": "US"}, 409, "no_payroll"),
]


@pytest.mark.parametrize(("method", "given", "status", "code"), REFUSED)
def test_what_is_refused_follows_from_the_input(
    services: ExampleServices, method: str, given: object, status: int, code: str
) -> None:
    answer = services.call(method, f"{method.replace('.', '-')}-{code}:x:do", given)

    assert answer[0] == status
    assert answer[1]["error"]["code"] == code


def test_an_outage_does_nothing_and_passes(services: ExampleServices) -> None:
    statuses = [services.call("parcels.book", "outage:parcel:do", {}, fail_first=2)[0] for _ in range(3)]

    ledger = services.ledger("outage")
    assert statuses == [503, 503, 200]
    assert [call["change"] for call in ledger["calls"]] == [0, 0, 1]


def test_a_lost_answer_was_done_all_the_same(services: ExampleServices) -> None:
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        services.call("parcels.book", "lost:parcel:do", {}, lose_first=1)

    again = services.call("parcels.book", "lost:parcel:do", {}, lose_first=1)

    assert again[0] == 200
    assert services.ledger("lost")["balance"] == {"lost:parcel": 1}


def test_what_is_not_there_and_what_is_no_json_is_refused(services: ExampleServices) -> None:
    assert services.request("/hotels/demolish", {})[0] == 404
    assert services.request("/hotels/reserve", b"{")[0] == 400
    assert services.request("/nothing", method="GET")[0] == 404
    assert services.request("/hotels/healthz", method="GET")[0] == 200


def test_a_connection_is_kept_alive_and_bodies_may_come_in_chunks(services: ExampleServices) -> None:
    body = b'{"nights": 1}'
    head = b"POST /hotels/reserve HTTP/1.1\r\nHost: x\r\nIdempotency-Key: chunks:hotel:do\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    plain = head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    with socket.create_connection(("127.0.0.1", services.port), timeout=10) as connection:
        stream = connection.makefile("rb")
        for request in (chunked, plain):
            connection.sendall(request)
            assert stream.readline().split()[1] == b"200"
            headers = dict(line.strip().split(b": ", 1) for line in iter(stream.readline, b"\r\n"))
            assert json.loads(stream.read(int(headers[b"Content-Length"])))["stars"] == 3


def test_the_ledger_survives_the_services(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    with example_services("--ledger", str(file)) as first:
        answer = first.call("hotels.reserve", "kept:hotel:do", {"nights": 2})
    with file.open("ab") as broken:
        broken.write(b'{"number": 2, "cut o')

    with example_services("--ledger", str(file)) as second:
        again = second.call("hotels.reserve", "kept:hotel:do", {"nights": 2})
        ledger = second.ledger("kept")

    assert again == answer
    assert ledger["balance"] == {"kept:hotel": 1}
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [1, 2]

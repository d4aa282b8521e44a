"""The effect ledger: each way a call can leave the world, and that it agrees with the services' own."""

from __future__ import annotations

from typing import Any

from playing import Play, play, quiet, reject, saga, status, timeout

from makegood.core import inputs
from makegood.core.effects import effects, remaining_effects

ONCE = {"retry": {"max_attempts": 1}}


def told(played: Play) -> dict[str, str]:
    return {row["step"]: row["effect"] for row in effects(played.state)}


def test_a_completed_execution_has_done_all_and_left_nothing_to_know_of() -> None:
    played = play(saga("a", quiet("b"), {"id": "r", "call": "r.do", "read_only": True}))

    assert told(played) == {"a": "done", "b": "done"}
    assert remaining_effects(played.state) == []


def test_what_was_made_good_is_undone_and_what_nothing_undoes_is_irreversible() -> None:
    played = play(saga("a", quiet("b"), "c"), {"c": reject()})

    assert told(played) == {"a": "undone", "b": "irreversible"}
    assert [row["step"] for row in remaining_effects(played.state)] == ["b"]


def test_an_undo_that_failed_leaves_the_effect_until_a_person_resolves_it() -> None:
    tree = saga({"id": "a", "call": "a.do", "compensation": {"call": "a.undo", **ONCE}}, "c")
    played = play(tree, {"c": reject(), "undo a": status(500)})
    assert (played.end, told(played)) == ("compensation_failed", {"a": "remaining"})

    played.then(inputs.Resolve("a", "refunded by hand"))
    row = effects(played.state)[0]
    assert (row["effect"], row["note"], row["undo_attempts"]) == ("undone", "refunded by hand", 1)


def test_an_unknown_call_that_is_not_undone_is_unknown() -> None:
    played = play(saga("a", quiet("b", timeout="1s")), {"b": timeout(with_effect=True)})

    assert told(played) == {"a": "undone", "b": "unknown"}


def test_fail_fast_leaves_what_was_done_and_says_so() -> None:
    played = play(saga("a", "b", error_handling="fail_fast"), {"b": reject()})

    assert told(played) == {"a": "remaining"}


def test_a_row_names_the_keys_and_the_calls() -> None:
    row: dict[str, Any] = effects(play(saga("a")).state)[0]

    assert (row["call"], row["key"], row["undo_call"], row["undo_key"]) == (
        "a.do",
        "play:a:do",
        "a.undo",
        "play:a:undo",
    )
    assert row["attempts"] == 1

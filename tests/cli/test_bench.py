"""What `bench` prints, not how fast anything is: figures are never tested."""

from __future__ import annotations

from cli_runs import Cli


def test_bench_measures_what_is_asked_for_and_judges_that_alone(cli: Cli) -> None:
    ran = cli("bench", "--only", "loops", "--repetitions", "1", "--loop-steps", "100", "--json")

    names = set(ran.json["figures"])
    assert ran.code == 0
    assert ran.json["loop_steps"] == 100
    assert {"foreach of 2N, s", "second half of a repeat of N, s", "state of a foreach of N, bytes/step"} <= names
    assert {each["name"] for each in ran.json["goals"]} == {
        f"{what}: 2N against N"
        for kind in ("foreach", "repeat")
        for what in (f"{kind}, CPU s", f"second half of a {kind}, CPU s", f"state of a {kind}, bytes/step")
    }


def test_bench_names_the_section_that_was_meant(cli: Cli) -> None:
    refused = cli("bench", "--only", "loop")

    assert refused.code == 2
    assert "'loops'" in refused.err

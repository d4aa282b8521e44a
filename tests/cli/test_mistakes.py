"""Every mistake a user can make: what went wrong, where, what to do, the exit code; never a traceback."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cli_runs import Cli

S = ("--service", "hotels=http://127.0.0.1:9")
USAGE, STORAGE, OUTPUT = 2, 6, 74

CASES: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    # --- definitions ---
    "no such file": (("run", "nope.yaml", *S), USAGE, ("nope.yaml: ", "No such file", "See that the path is right")),
    "folder as file": (
        ("run", ".", *S),
        USAGE,
        (".: this is a folder", "Give the path of a file with the workflow definition"),
    ),
    "null in path": (("run", "a\0b", *S), USAGE, ("null character",)),
    "not UTF-8": (("run", "utf16.yaml", *S), USAGE, ("utf16.yaml:1:1: ", "UTF-16", "Save it as UTF-8")),
    "misspelt key": (
        ("run", "typo.yaml", *S),
        USAGE,
        ("typo.yaml:3:", "'compensaton'", "Did you mean 'compensation'?"),
    ),
    "unknown service": (("run", "trip.yaml"), USAGE, ("trip.yaml:3:", "'hotels'", "--service NAME=URL")),
    "empty file": (("run", "empty.yaml", *S), USAGE, ("empty.yaml:1:1: ",)),
    # --- input ---
    "bad JSON": (("run", "trip.yaml", *S, "--input", '{"a":'), USAGE, ("--input:1:6: this is not JSON",)),
    "bad JSON in a file": (
        ("run", "trip.yaml", *S, "--input", "@bad.json"),
        USAGE,
        ("bad.json:2:3: this is not JSON",),
    ),
    "no quotes": (("run", "trip.yaml", *S, "--input", "Ada"), USAGE, ("--input:1:1: ", "'\"Ada\"'", "@Ada")),
    "no input file": (("run", "trip.yaml", *S, "--input", "@x.json"), USAGE, ("x.json: ", "No such file")),
    "no file name": (("run", "trip.yaml", *S, "--input", "@"), USAGE, ("names no file", "@input.json")),
    "empty input": (("run", "trip.yaml", *S, "--input", ""), USAGE, ("--input: there is nothing to read", "{}")),
    "NaN": (("run", "trip.yaml", *S, "--input", "[NaN]"), USAGE, ("--input", "JSON has no NaN")),
    "1e400": (("run", "trip.yaml", *S, "--input", "1e400"), USAGE, ("1e400 is too large",)),
    "deep": (("run", "trip.yaml", *S, "--input", "[" * 100_000), USAGE, ("nested too deeply",)),
    "half a surrogate pair": (("run", "trip.yaml", *S, "--input", '"\\ud800"'), USAGE, ("not plain JSON",)),
    "does not fit": (("run", "strict.yaml", *S, "--input", "3"), USAGE, ("input of workflow 'strict'", "at /")),
    # --- options ---
    "service without URL": (("run", "trip.yaml", "--service", "hotels"), USAGE, ("'hotels'", "--service name=URL")),
    "service with ftp": (("run", "trip.yaml", "--service", "hotels=ftp://x"), USAGE, ("'ftp://x'", "http://")),
    "service twice": (("run", "trip.yaml", *S, *S), USAGE, ("--service hotels=", "twice", "Keep one")),
    "service name": (("run", "trip.yaml", "--service", "Ho.tels=http://x"), USAGE, ("'Ho.tels'", "no dot")),
    "service password": (
        ("run", "trip.yaml", "--service", "hotels=http://u:secret@x"),
        USAGE,
        ("credentials", "env:NAME"),
    ),
    "duration": (("run", "trip.yaml", *S, "--timeout", "soon"), USAGE, ("--timeout 'soon'", "30s")),
    "id": (("run", "trip.yaml", *S, "--id", "../x"), USAGE, ("'../x' cannot be an id", "letters")),
    "no such option": (("run", "trip.yaml", "--nope"), USAGE, ("--nope", "--help")),
    "no such command": (("rnu",), USAGE, ("'rnu'",)),
    "no argument": (("show",), USAGE, ("ID",)),
    # --- configuration ---
    "no such configuration": (("run", "trip.yaml", "--config", "x.toml"), USAGE, ("x.toml: ", "No such file")),
    "configuration typo": (
        ("run", "trip.yaml", "--config", "typo.toml"),
        USAGE,
        ("typo.toml:2: ", "'conection_string'", "connection_string"),
    ),
    "postgres": (
        ("run", "trip.yaml", *S, "--config", "postgres.toml"),
        STORAGE,
        ("postgresql://127.0.0.1:1/x cannot be reached", "See that the server runs"),
    ),
    "postgres without its address": (
        ("run", "trip.yaml", *S, "--config", "nowhere.toml"),
        USAGE,
        ('needs connection_string = "postgresql://user@host/database"',),
    ),
    # --- the database ---
    "no folder": (("run", "trip.yaml", *S, "--database", "no/x.db"), STORAGE, ("no folder", "Create it")),
    "folder as database": (("run", "trip.yaml", *S, "--database", "."), STORAGE, ("is a folder", "path of a file")),
    "no database": (
        ("run", "trip.yaml", *S, "--database", "bad.json"),
        STORAGE,
        ("no SQLite database", "another path"),
    ),
    "empty database": (("run", "trip.yaml", *S, "--database", "empty.yaml"), STORAGE, ("is empty", "delete it")),
    "empty name": (("run", "trip.yaml", *S, "--database", ""), USAGE, ("is empty", "./makegood.db")),
    "no kind": (("run", "trip.yaml", *S, "--database", "mysql://x"), USAGE, ("'mysql'", "sqlite:///")),
    "nothing to list": (("list",), STORAGE, ("there is no database", "makegood.db")),
    "memory": (("list", "--database", ":memory:"), USAGE, ("in memory", "--database DATABASE")),
    "nothing to cancel": (("cancel", "a"), STORAGE, ("there is no database",)),
    # --- graphs ---
    "no such form": (("graph", "trip.yaml", "--format", "svgg"), USAGE, ("'svgg'", "'svg'")),
    "no folder for a graph": (("graph", "trip.yaml", "--output", "no/x.svg"), USAGE, ("no/x.svg", "No such file")),
    "folder as graph": (("graph", "trip.yaml", "--output", "."), USAGE, (". cannot be written", "Is a directory")),
}


@pytest.fixture
def files(tmp_path: Path, trip: str) -> Path:
    (tmp_path / "utf16.yaml").write_bytes("name: x".encode("utf-16"))
    (tmp_path / "empty.yaml").write_bytes(b"")
    (tmp_path / "typo.yaml").write_text("name: x\nsteps:\n  - {id: a, call: hotels.x, compensaton: hotels.y}\n")
    (tmp_path / "strict.yaml").write_text(
        "name: strict\ninput_schema: {type: object}\nsteps: [{id: a, call: hotels.x, read_only: true}]\n"
    )
    (tmp_path / "bad.json").write_text(
        '{\n  a: "this is not a database either, but it is long enough to be one' + "." * 90
    )
    (tmp_path / "typo.toml").write_text('[storage]\nconection_string = "x"\n')
    (tmp_path / "postgres.toml").write_text(
        '[storage]\ntype = "postgres"\nconnection_string = "postgresql://127.0.0.1:1/x"\n'
    )
    (tmp_path / "nowhere.toml").write_text('[storage]\ntype = "postgres"\n')
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_mistake_is_told_with_place_and_remedy(case: str, cli: Cli, files: Path) -> None:
    words, code, fragments = CASES[case]
    before = {path.name for path in files.iterdir()}

    ran = cli(*words)

    missing = [each for each in fragments if each not in ran.err]
    assert not missing, ran.err
    assert (ran.code, ran.out) == (code, "")
    assert "Traceback" not in ran.err
    assert "secret" not in ran.err
    new = {path.name for path in files.iterdir()} - before
    assert not {name for name in new if name.endswith((".svg", ".new")) or name.startswith(".")}


def test_stdin_that_is_closed_is_a_mistake(cli: Cli, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)

    ran = cli("run", "trip.yaml", *S, "--input", "-")

    assert ran.code == USAGE
    assert "stdin is closed" in ran.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_a_mistake(cli: Cli, files: Path) -> None:
    (files / "trip.yaml").chmod(0)

    ran = cli("run", "trip.yaml", *S)

    assert ran.code == USAGE
    assert "trip.yaml: the workflow definition cannot be read: Permission denied" in ran.err


def test_bug_of_ours_is_told_apart(cli: Cli, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("makegood.cli.running.run", broken)

    ran = cli("run", "trip.yaml", *S)

    assert ran.code == 70
    assert ran.err.startswith("this is a bug of makegood")
    assert "ZeroDivisionError: of ours" in ran.err


def test_picture_is_replaced_whole_or_not_at_all(cli: Cli, files: Path) -> None:
    (files / "trip.svg").write_text("the old one")

    assert cli("graph", "typo.yaml", "--output", "trip.svg").code == USAGE
    assert (files / "trip.svg").read_text() == "the old one"

    assert cli("graph", "trip.yaml", "--output", "trip.svg").code == 0
    assert (files / "trip.svg").read_text().startswith("<svg")
    assert not list(files.glob(".trip*"))

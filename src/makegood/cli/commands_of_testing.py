"""The command that tests workflows: test."""

from __future__ import annotations

from typing import Annotated

import typer

from makegood.cli import options


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("test")(play)


def play(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Scenario files, folders or globs.", show_default=False),
    ],
    only: Annotated[
        str | None,
        typer.Option("-k", metavar="EXPR", help="Only scenarios whose id or title holds this; `and`, `or`, `not`."),
    ] = None,
    crash: Annotated[
        bool, typer.Option("--crash", help="Also kill the engine after every record of each crash-safe scenario.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the calls of every scenario.")] = False,
    junit: Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit report there.")] = None,
    json: options.Json = False,
) -> None:
    """Play scenarios, sagas as data, against scripted services on a virtual clock; say what came otherwise.

    Of a folder, all YAML and JSON files in folders named `scenarios` inside it are taken, and all files named
    `*.scenarios.yaml`; without any, the YAML files that lie directly in it.

    Exit codes: 0 all came as expected, 1 some did not, 2 bad usage, an unreadable file or no scenarios.
    """
    from makegood.cli.testing.running import Wish, run

    wish = Wish(paths=tuple(paths), only=only, crash=crash, verbose=verbose, junit=junit, json=json)
    raise typer.Exit(run(wish))

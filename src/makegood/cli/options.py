"""The options that several commands share, each spelled and explained once."""

from __future__ import annotations

from typing import Annotated

import typer

Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file; ./makegood.toml if there is one. MAKEGOOD_SECTION__KEY variables go on top.",
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="DATABASE",
        help="SQLite file, or postgresql://...; otherwise the configured one, ./makegood.db.",
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Ask the server there, not a database; otherwise MAKEGOOD_SERVER.",
        show_default=False,
    ),
]
Token = Annotated[
    str | None,
    typer.Option("--token", metavar="TOKEN", help="For the server; otherwise MAKEGOOD_TOKEN.", show_default=False),
]
Services = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="NAME=URL", help="A service, on top of the configured ones. May be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ExecutionId = Annotated[str, typer.Argument(metavar="ID", help="The execution's id.", show_default=False)]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="WHO",
        help="Who asks; otherwise the user of this process. Kept in the history.",
        show_default=False,
    ),
]
Note = Annotated[str, typer.Option("--note", help="Why; kept in the history.", show_default=False)]

"""The commands and their options, as Typer reads them; what they do is imported when one is called.

Rule: nothing slow is imported at the top of this room's modules of commands. `makegood --help` shall be quick.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from makegood.cli import (
    commands_of_benching,
    commands_of_databases,
    commands_of_executions,
    commands_of_files,
    commands_of_servers,
    commands_of_testing,
)
from makegood.cli.failures import report


class Guarded(TyperGroup):
    """A group of commands whose errors become messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if type(error).__module__.startswith(("typer.", "click.")):
                raise
            raise typer.Exit(report(error)) from None


def _version(wanted: bool) -> None:
    if wanted:
        from makegood import __version__

        typer.echo(f"makegood {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="makegood",
    cls=Guarded,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Run workflows durably: every step is journaled, every failure is made good.",
)


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """The group itself."""


for commands in (
    commands_of_files,
    commands_of_testing,
    commands_of_servers,
    commands_of_executions,
    commands_of_databases,
    commands_of_benching,
):
    commands.register(app)

"""The commands that start executions, look at them and act on them: at a server, or straight on the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from makegood.cli import options

if TYPE_CHECKING:
    from makegood.cli.places import Place


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(start)
    app.command("list")(list_)
    for command in (show, history, watch):
        app.command()(command)
    for kind, does in OPERATIONS:
        app.command(kind, help=does)(operation(kind))
    app.command()(resolve)
    app.command()(rerun)
    app.command()(signal)


def start(
    workflow: Annotated[str, typer.Argument(metavar="NAME", help="The workflow's name.", show_default=False)],
    input: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option("--input", metavar="JSON|@FILE|-", help="Its input; null if left out.")
    ] = None,
    id: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option("--id", metavar="ID", help="The execution's id; the same again is the same one.")
    ] = None,
    version: Annotated[int | None, typer.Option("--version", metavar="N", help="The newest if left out.")] = None,
    business_key: Annotated[
        str | None, typer.Option("--business-key", metavar="KEY", help="At most one live execution has it.")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option("--search", metavar="NAME=JSON", help="A search attribute. May be repeated."),
    ] = None,
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="DURATION", help="Wait so long for its end, at a server.")
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Start an execution of a registered workflow; with --wait the exit codes are those of `run`."""
    from makegood.cli.starting import Wish, start

    wish = Wish(
        workflow=workflow,
        input=input,
        id=id,
        version=version,
        business_key=business_key,
        search=search or (),
        wait=wait,
    )
    raise typer.Exit(start(_place(config, database, server, token), wish, json=json))


# --- looking ---


def list_(
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="NAME", help="Only of this workflow.")] = None,
    status: Annotated[str | None, typer.Option("--status", metavar="STATE", help="Only in this state.")] = None,
    business_key: Annotated[
        str | None, typer.Option("--business-key", metavar="KEY", help="Only with this key.")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option("--search", metavar="NAME=TEXT", help="Only with this search attribute. May be repeated."),
    ] = None,
    waiting_for: Annotated[
        str | None, typer.Option("--waiting-for", metavar="SERVICE", help="Only what waits for this service.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="So many at most.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", metavar="CURSOR", help="Where the last page ended.")] = None,
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """List executions, newest first."""
    from makegood.cli.looking import list_executions
    from makegood.cli.starting import pairs
    from makegood.ports import Query

    found = pairs(search or [], "--search")
    query = Query(
        workflow=workflow, status=status, business_key=business_key, limit=limit, search=found, waiting_for=waiting_for
    )
    list_executions(_place(config, database, server, token), query, cursor, json=json)


def show(
    id: options.ExecutionId,  # noqa: A002 - the argument's name
    cursor: Annotated[
        str | None,
        typer.Option(
            "--cursor", metavar="CURSOR", help="Only a page: the one where the last ended, of steps if no --only."
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--only", metavar="LIST", help="A page of `steps`, `compensations` or `effects`.")
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Show one execution: its state, and the first 1,000 of its steps, compensations and effects."""
    from makegood.cli.looking import show

    show(_place(config, database, server, token), id, cursor, only, json=json)


def history(
    id: options.ExecutionId,  # noqa: A002 - the argument's name
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, one event a line.")] = False,
) -> None:
    """Print the journal of one execution, an event a line."""
    from makegood.cli.looking import history

    history(_place(config, database, server, token), id, json=json)


def watch(
    id: options.ExecutionId,  # noqa: A002 - the argument's name
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: Annotated[bool, typer.Option("--json", help="Print the whole execution as JSON at its end.")] = False,
) -> None:
    """Follow one execution to its end; the exit codes are those of `run`."""
    from makegood.cli.looking import watch

    raise typer.Exit(watch(_place(config, database, server, token), id, json=json))


# --- acting ---


OPERATIONS = (
    ("cancel", "Stop an execution, and undo what its strategy undoes. Exit code 1 if that is refused."),
    ("suspend", "Stop an execution for a while. Exit code 1 if that is refused."),
    ("resume", "Let a suspended execution go on. Exit code 1 if that is refused."),
    ("retry", "Have the compensations that failed tried again. Exit code 1 if that is refused."),
    ("compensate", "Have a failed execution undone after all. Exit code 1 if that is refused."),
)
"""What needs no more than to be asked for: the command, and what it does."""


def operation(kind: str) -> Callable[..., None]:
    """The command that asks for it."""

    def ask(
        id: options.ExecutionId,  # noqa: A002 - the argument's name
        by: options.By = None,
        note: options.Note = "",
        config: options.Config = None,
        database: options.Database = None,
        server: options.Server = None,
        token: options.Token = None,
        json: options.Json = False,
    ) -> None:
        _act(kind, id, {"by": by, "note": note}, _place(config, database, server, token), json=json)

    return ask


def resolve(
    id: options.ExecutionId,  # noqa: A002 - the argument's name
    step: Annotated[
        str, typer.Argument(metavar="STEP", help="Name of the step, e.g. hotel or ship[3].", show_default=False)
    ],
    note: Annotated[str, typer.Option("--note", help="How it was settled; kept in the history.", show_default=False)],
    by: options.By = None,
    as_: Annotated[
        str | None, typer.Option("--as", metavar="succeeded|failed", help="Settle a step that waits for a person.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", metavar="JSON|@FILE|-", help="With --as succeeded: the step's output.")
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Declare a compensation that failed done by other means, or a suspended step settled. Exit code 1 if refused."""
    from makegood.cli.acting import resolve_body

    _act(
        "resolve",
        id,
        {"by": by, **resolve_body(step, note, as_, output)},
        _place(config, database, server, token),
        json=json,
    )


def rerun(
    id: options.ExecutionId,  # noqa: A002 - the argument's name
    from_: Annotated[str, typer.Option("--from", metavar="STEP", help="The step to begin at.", show_default=False)],
    version: Annotated[
        int | None,
        typer.Option("--version", metavar="N", help="Of the workflow; the one that ran if left out.", min=1),
    ] = None,
    by: options.By = None,
    note: options.Note = "",
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Have a failed execution go on from a step, as a new execution. Exit code 1 if that is refused."""
    _act(
        "rerun",
        id,
        {"from": from_, "version": version, "by": by, "note": note},
        _place(config, database, server, token),
        json=json,
    )


def signal(
    id: options.ExecutionId,  # noqa: A002 - the argument's name
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.", show_default=False)],
    payload: Annotated[
        str | None, typer.Option("--payload", metavar="JSON|@FILE|-", help="What it carries; null if left out.")
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Send a signal to an execution; it is kept when no step waits for it yet."""
    from makegood.cli.acting import signal_body

    _act("signal", id, signal_body(name, payload), _place(config, database, server, token), json=json)


def _place(config: str | None, database: str | None, server: str | None, token: str | None) -> Place:
    from makegood.cli.places import place_of

    return place_of(config, database, server, token)


def _act(kind: str, execution_id: str, body: dict[str, Any], place: Place, *, json: bool) -> None:
    from makegood.cli.acting import act

    raise typer.Exit(act(kind, execution_id, body, place, json=json))

"""The commands that look at a database as a whole: its workflows, its state."""

from __future__ import annotations

from typing import Annotated

import typer

from makegood.cli import options

Name = Annotated[str, typer.Argument(metavar="NAME", help="The workflow's name.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands, in groups of their own."""
    workflows = typer.Typer(no_args_is_help=True, help="Look at the workflow definitions of a database.")
    workflows.command("list")(workflows_list)
    workflows.command("show")(workflows_show)
    workflows.command("put")(workflows_put)
    workflows.command("diff")(workflows_diff)
    app.add_typer(workflows, name="workflows")
    db = typer.Typer(no_args_is_help=True, help="Look at a database, upgrade it, rid it of what ended long ago.")
    db.command("status")(db_status)
    db.command("upgrade")(db_upgrade)
    db.command("purge")(db_purge)
    app.add_typer(db, name="db")


def workflows_list(
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """List the newest version of every workflow."""
    from makegood.cli.looking import list_workflows
    from makegood.cli.places import place_of

    list_workflows(place_of(config, database, server, token), json=json)


def workflows_show(
    name: Name,
    version: Annotated[int | None, typer.Option("--version", metavar="N", help="The newest if left out.")] = None,
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: Annotated[bool, typer.Option("--json", help="The same: it is printed as JSON anyway.")] = False,  # noqa: ARG001
) -> None:
    """Print the definition of a workflow as JSON."""
    from makegood.cli.looking import show_workflow
    from makegood.cli.places import place_of

    show_workflow(place_of(config, database, server, token), name, version)


def workflows_put(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Workflow definition, YAML or JSON.", show_default=False)],
    config: options.Config = None,
    service: options.Services = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Register a definition: a new version if its content is new. A database may have no engine then."""
    from makegood.cli.places import place_of
    from makegood.cli.registering import put_workflow

    put_workflow(file, place_of(config, database, server, token), service or [], json=json)


def workflows_diff(
    before: Annotated[
        str, typer.Argument(metavar="NAME[@N]|FILE", help="The older one; without @N the newest.", show_default=False)
    ],
    after: Annotated[str, typer.Argument(metavar="NAME[@N]|FILE", help="The newer one.", show_default=False)],
    look_into: Annotated[
        int, typer.Option("--look-into", metavar="N", help="Live executions whose step is looked up, at most.")
    ] = 2000,
    config: options.Config = None,
    database: options.Database = None,
    json: options.Json = False,
) -> None:
    """Print what differs between two versions of a workflow, and how many live executions stand where."""
    from makegood.cli.diffing import diff_workflows
    from makegood.cli.places import Place

    diff_workflows(Place(config=config, database=database), before, after, look_into, json=json)


def db_status(config: options.Config = None, database: options.Database = None, json: options.Json = False) -> None:
    """Print which executions there are, and who holds the database."""
    from makegood.cli.looking import database_status
    from makegood.cli.places import Place

    database_status(Place(config=config, database=database), json=json)


def db_upgrade(config: options.Config = None, database: options.Database = None, json: options.Json = False) -> None:
    """Bring the schema of a database up to date. A copy beforehand is a good idea."""
    from makegood.cli.keeping import upgrade_database
    from makegood.cli.places import Place

    upgrade_database(Place(config=config, database=database), json=json)


def db_purge(
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="DURATION", help="Since their end, for example 30d.", show_default=False),
    ],
    config: options.Config = None,
    database: options.Database = None,
    json: options.Json = False,
) -> None:
    """Delete executions that ended long ago, with their children and journals. Their ids are free afterwards."""
    from makegood.cli.keeping import purge_database
    from makegood.cli.places import Place

    purge_database(Place(config=config, database=database), older_than, json=json)

"""The commands of a server: run one, the tokens it knows, the services it calls."""

from __future__ import annotations

from typing import Annotated

import typer

from makegood.cli import options

TokensFile = Annotated[
    str | None,
    typer.Option("--tokens-file", metavar="FILE", help="Otherwise the configured one, or ./tokens.toml."),
]
TokenName = Annotated[str, typer.Argument(metavar="NAME", help="What the token is called.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(serve)
    tokens = typer.Typer(no_args_is_help=True, help="Give and take away the tokens that a server knows.")
    tokens.command("add")(token_add)
    tokens.command("list")(token_list)
    tokens.command("remove")(token_remove)
    app.add_typer(tokens, name="token")
    services = typer.Typer(no_args_is_help=True, help="Look at the services of a server, and change them.")
    services.command("list")(services_list)
    services.command("show")(services_show)
    services.command("put")(services_put)
    services.command("remove")(services_remove)
    services.command("check")(services_check)
    app.add_typer(services, name="services")


def serve(
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Otherwise the configured one, 127.0.0.1:8080.")
    ] = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NAME", help="What this process is called; host and number if not.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="text|json", help="Otherwise the configured one, text.")
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print what is configured and where each value comes from; serve nothing."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="With --print-config: print JSON.")] = False,
) -> None:
    """Serve the HTTP API with an engine in this process. SIGTERM stops it gracefully."""
    from makegood.cli.serving import print_configuration, serve

    if print_config:
        print_configuration(config, database=database, listen=listen, log_format=log_format, json=json)
        return
    raise typer.Exit(serve(config, database=database, listen=listen, node=node, log_format=log_format))


def token_add(
    name: TokenName,
    role: Annotated[
        str, typer.Option("--role", metavar="viewer|operator|admin", help="What it allows.", show_default=False)
    ],
    tokens_file: TokensFile = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Make a token, and print it once: only its hash is kept. A running server takes it within a second."""
    from makegood.cli.tokens import add

    add(name, role, tokens_file, config, json=json)


def token_list(tokens_file: TokensFile = None, config: options.Config = None, json: options.Json = False) -> None:
    """List the tokens, with what each allows."""
    from makegood.cli.tokens import list_tokens

    list_tokens(tokens_file, config, json=json)


def token_remove(name: TokenName, tokens_file: TokensFile = None, config: options.Config = None) -> None:
    """Take a token away. A running server refuses it within a second."""
    from makegood.cli.tokens import remove

    remove(name, tokens_file, config)


ServiceName = Annotated[str, typer.Argument(metavar="NAME", help="The service's name.", show_default=False)]


def services_list(
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """List the services of a server, or those of the configuration and of a database."""
    from makegood.cli.places import place_of
    from makegood.cli.services import list_services

    list_services(place_of(config, database, server, token), json=json)


def services_show(
    name: ServiceName,
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Show one service, and how each of its endpoints is."""
    from makegood.cli.places import place_of
    from makegood.cli.services import show_service

    show_service(place_of(config, database, server, token), name, json=json)


def services_put(
    name: ServiceName,
    url: Annotated[str, typer.Argument(metavar="URL", help="Its endpoint.", show_default=False)],
    keys: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=JSON", help="A key of [services.NAME], e.g. max_concurrent=5. Repeatable."),
    ] = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Keep a service for all servers that share a database, or replace it."""
    from makegood.cli.places import place_of
    from makegood.cli.services import put_service

    put_service(place_of(None, database, server, token), name, url, keys or [], json=json)


def services_remove(
    name: ServiceName,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
) -> None:
    """Have all servers that share a database forget a service; its open calls go on."""
    from makegood.cli.places import place_of
    from makegood.cli.services import remove_service

    remove_service(place_of(None, database, server, token), name)


def services_check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which; all if none.", show_default=False)
    ] = None,
    config: options.Config = None,
    database: options.Database = None,
    server: options.Server = None,
    token: options.Token = None,
    json: options.Json = False,
) -> None:
    """Ask endpoints now whether they are well: from the server, or from here. Exit code 1 when one is not."""
    from makegood.cli.places import place_of
    from makegood.cli.services import check_services

    raise typer.Exit(check_services(place_of(config, database, server, token), names or [], json=json))

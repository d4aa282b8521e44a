"""The commands of a server: run one, and give and take away the tokens it knows."""

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


def serve(
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Otherwise the configured one, 127.0.0.1:8080.")
    ] = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NAME", help="What this process is called; host and number if not.")
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
        print_configuration(config, database=database, listen=listen, json=json)
        return
    raise typer.Exit(serve(config, database=database, listen=listen, node=node))


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

"""What makegood offers to whoever deploys it, asked of the code itself: commands, configurations, times."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import typer

from makegood.api import serving
from makegood.api.table import PUBLIC, ROUTES
from makegood.app.config import Config, load_config, tokens_path
from makegood.app.keys import KEYS, keys_of
from makegood.cli.program import app

VARIABLES = {key.variable for key in KEYS if key.section != "services"}
PROBED = {route.path for route in ROUTES if route.method == "GET" and route.path in PUBLIC}
"""What may be asked without a token."""
STOPS_S = (
    serving.ANSWERED_S
    + float(keys_of("workflow_engine")["drain_seconds"].default)
    + float(serving._OPTIONS["timeout_graceful_shutdown"])
)
"""How long a graceful stop may take: requests under way, open calls, connections."""


def parsed(words: Sequence[str]) -> dict[str, object]:
    """The arguments of a command line by their names; raises when the program would refuse it."""
    command = typer.main.get_command(app)
    words = list(words)
    while hasattr(command, "commands"):
        assert words, "no command"
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    return dict(command.make_context("makegood", words).params)


def configured(file: str | None, variables: dict[str, str]) -> Config:
    """The configuration of a file's text and these variables; every one of ours has to be one that is read."""
    ours = {name for name in variables if name.startswith("MAKEGOOD_")}
    assert ours <= VARIABLES, f"nobody reads {sorted(ours - VARIABLES)}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "makegood.toml"
        path.write_text(file or "", encoding="utf-8")
        return load_config(str(path), variables)


def check_served(config: Config, listen: str | None = None) -> None:
    """It would listen, and not let strangers in."""
    serving.check_exposed(serving.Serving(config=config, listen=listen))


__all__ = ["PROBED", "STOPS_S", "VARIABLES", "check_served", "configured", "parsed", "tokens_path"]

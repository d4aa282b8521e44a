"""`makegood start`: one execution of a registered workflow, at a server or into a database that no engine holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from makegood.app.config import load_config
from makegood.app.deciding import start_here
from makegood.cli import exits
from makegood.cli.failures import complain
from makegood.cli.given import parse_json, read_json_argument
from makegood.cli.loop import run_async
from makegood.cli.output import print_json
from makegood.cli.places import Place
from makegood.core.state import ENDS
from makegood.errors import ConfigurationError, StorageHeld


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for; None is what was not given."""

    workflow: str
    input: str | None = None
    id: str | None = None
    version: int | None = None
    business_key: str | None = None
    search: Sequence[str] = ()
    wait: str | None = None


def start(place: Place, wish: Wish, *, json: bool) -> int:
    """Start it, and say which one it is; the exit code.

    Raises:
        MakegoodError: Nothing was started.
    """
    value = None if wish.input is None else read_json_argument(wish.input, "--input")
    search = {
        name: parse_json(text.encode(), f"--search {name}") for name, text in pairs(wish.search, "--search").items()
    }
    remote = place.remote
    if remote is not None:
        given = {"id": wish.id, "version": wish.version, "business_key": wish.business_key, "search": search or None}
        body = {"workflow": wish.workflow, "input": value, **{k: each for k, each in given.items() if each is not None}}
        view = remote.start(body, wish.wait)
    else:
        if wish.wait is not None:
            raise ConfigurationError("--wait needs a server: nothing goes on in a database that no engine holds.")
        view = run_async(_start(place, wish, value, search))
        complain(f"no engine is running on {place.path}: it goes on when one is, for example with `makegood serve`.")
    if json:
        print_json(view)
    else:
        print(view["id"])
        complain(f"execution {view['id']} is {view['status']}.")
    return exits.exit_of(view["status"]) if wish.wait is not None or view["status"] in ENDS else exits.COMPLETED


async def _start(place: Place, wish: Wish, value: Any, search: dict[str, Any]) -> dict[str, Any]:
    try:
        return await start_here(
            place.path, load_config(place.config), wish.workflow, value,
            id=wish.id, version=wish.version, business_key=wish.business_key, search=search,
        )  # fmt: skip
    except StorageHeld as held:
        held.add_note("Start it there: --server URL, when `makegood serve` is what holds it.")
        raise


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE`, by name.

    Raises:
        ConfigurationError: One is written otherwise, or a name comes twice.
    """
    found: dict[str, str] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name or name in found:
            raise ConfigurationError(f"{option} {each!r}: write {option} NAME=VALUE, each name once.")
        found[name] = text
    return found

"""The commands that keep a database: `db upgrade` and `db purge`."""

from __future__ import annotations

from makegood.app.keeping import purge, upgrade
from makegood.cli.given import read_duration_s
from makegood.cli.loop import run_async
from makegood.cli.output import print_json
from makegood.cli.places import Place


def upgrade_database(place: Place, *, json: bool) -> None:
    """Bring the schema up to date, and say what was applied."""
    applied = run_async(upgrade(place.path))
    if json:
        print_json({"applied": applied})
    else:
        print("\n".join(applied) if applied else "the schema is up to date")


def purge_database(place: Place, older_than: str, *, json: bool) -> None:
    """Delete what ended long ago, and say how many."""
    purged = run_async(purge(place.path, read_duration_s(older_than, "--older-than")))
    if json:
        print_json({"purged": purged})
    else:
        print(f"{purged} executions purged")

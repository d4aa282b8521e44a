"""The pages that are written from the code: `python tools/docs.py`; `--check` compares, and follows links.

A page that is generated says so at its top. `--check` changes nothing and exits 1 when a page is not
what the code says, or when a relative link of any page leads nowhere.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

from makegood.core.events import Event
from makegood.core.state import ENDS
from makegood.core.transitions import CLOSING, COMPENSATION, EXECUTION, STEP, Transition

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a script's own path is its folder
from tools import dashboard, reference, reference_of_watching  # noqa: E402

SKIPPED = frozenset({".venv", ".git", "node_modules", "cel_spec"})
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|<img[^>]*\ssrc=\"([^\"]+)\"")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


def main() -> int:
    """Write, or check; 1 when something does not agree."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is out of date")
    check = arguments.parse_args().check
    problems: list[str] = []
    for path, page in PAGES.items():
        try:
            problems += settle(ROOT / path, page(), check=check)
        except reference.Missing as missing:
            problems.append(f"{path}: {missing}")
    problems += broken_links()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def settle(path: Path, text: str, *, check: bool) -> list[str]:
    """Write a page, or say that it is not as it should be."""
    there = path.read_text(encoding="utf-8") if path.exists() else None
    if there == text:
        return []
    if check:
        return [f"{path.relative_to(ROOT)} is not what the code says. Run `make docs`."]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")
    return []


# --- states ------------------------------------------------------------------------------------


def states() -> str:
    """The reference of states."""
    closing = ", ".join(f"`{event.__name__}`" for event in CLOSING)
    parts = [
        reference.NOTE.format(source="src/makegood/core/transitions.py"),
        "# States\n",
        "An execution, each of its steps, and each entry of its compensation list have a state. It changes only by an",
        "event that is recorded in the journal; everything else is refused and changes nothing.\n",
        "## An execution\n",
        "`running` has two phases: `forward`, and `halting` once an abort is decided, while what is under way drains.",
        "While `suspended`, open attempts settle and signals queue; `resume` goes on in the state and phase that were",
        "left. A cancel of a suspended execution is a resume followed by an abort.\n",
        diagram(EXECUTION, ENDS),
        table(EXECUTION),
        "## A step\n",
        "`pending`: not begun. `unknown`: it may have had an effect, and is undone like one that succeeded.\n",
        diagram(STEP, {"succeeded", "failed", "unknown", "skipped"}),
        table(STEP),
        f"A composite step that runs in a region which was stopped and has drained settles with it, by {closing}: as",
        "`failed` when the cause came from inside it, else as `skipped`.\n",
        "## An entry of the compensation list\n",
        "An entry is `armed` together with the schedule of its step, before anything is sent, and has its place in the",
        "list once the step settles `succeeded` or `unknown`. A step that settles `failed` keeps it only with",
        "`compensate_on_failure`.\n",
        diagram(COMPENSATION, {"done", "skipped", "moved"}),
        table(COMPENSATION),
        "## Events\n",
        "Every kind of event there is; those that are not named above change no state.\n",
        ", ".join(f"`{event.__name__}`" for event in sorted(get_args(Event), key=lambda each: str(each.__name__)))
        + ".",
    ]
    return "\n".join(parts) + "\n"


def diagram(rows: Iterable[Transition], ends: Iterable[str]) -> str:
    """A Mermaid state diagram; rows that join the same two states share an arrow."""
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in (row.source, row.target) if name is not None)
    lines = ["```mermaid", "stateDiagram-v2", *(f'    state "{name}" as {_id(name)}' for name in names)]
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        source = "[*]" if row.source is None else _id(row.source)
        events = arrows.setdefault((source, _id(row.target)), [])
        if row.event.__name__ not in events:
            events.append(row.event.__name__)
    if all(row.source is not None for row in rows):
        lines.append(f"    [*] --> {_id(next(iter(names)))}")
    lines += [f"    {source} --> {target}: {', '.join(events)}" for (source, target), events in arrows.items()]
    lines += [f"    {_id(end)} --> [*]" for end in names if end in set(ends)]
    return "\n".join([*lines, "```\n"])


def _id(name: str) -> str:
    return re.sub(r"\W", "_", name)


def table(rows: Iterable[Transition]) -> str:
    """The same as a table, with what each row follows from."""
    lines = ["| from | event | to | when |", "|---|---|---|---|"]
    for row in rows:
        source = "–" if row.source is None else f"`{row.source}`"
        lines.append(f"| {source} | `{row.event.__name__}` | `{row.target}` | {row.when} |")
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/states.md": states,
    "deploy/grafana/makegood.json": dashboard.text,
    **reference.PAGES,
    **reference_of_watching.PAGES,
}


# --- links -------------------------------------------------------------------------------------


def broken_links() -> list[str]:
    """Relative links, of any page, to a file or a heading that is not there."""
    pages = [path for path in sorted(ROOT.rglob("*.md")) if not SKIPPED & set(path.relative_to(ROOT).parts)]
    return [problem for page in pages for problem in _broken_in(page)]


def _broken_in(page: Path) -> list[str]:
    problems: list[str] = []
    for first, second in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        link = first or second
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            problems.append(f"{page.relative_to(ROOT)}: the link {link} leads nowhere.")
        elif anchor and target.suffix == ".md" and anchor not in _anchors(target):
            problems.append(f"{page.relative_to(ROOT)}: {path or page.name} has no heading #{anchor}.")
    return problems


def _anchors(page: Path) -> set[str]:
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


if __name__ == "__main__":
    raise SystemExit(main())

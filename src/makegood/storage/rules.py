"""What every adapter refuses, and in which words: the invariants of rows, told once.

Strangers keep out: no SQL, no connection, nothing of one adapter alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from makegood.core.state import ENDS, LIVE
from makegood.errors import Conflict, Fenced, StorageError
from makegood.ports import Append, Standing, Start
from makegood.storage.codec import encode_record

PHASES = (None, "forward", "halting")

Verdict = Exception | None


def encode(batch: Sequence[Append]) -> tuple[list[str | None], list[Verdict]]:
    """The text of each append's record, and why it alone is refused before anything is written."""
    texts: list[str | None] = []
    verdicts: list[Verdict] = []
    for each in batch:
        text, verdict = None, None
        try:
            if each.start is not None or each.standing is not None:
                check(each)
            if each.record is not None:
                text = encode_record(each.record)
        except StorageError as error:
            verdict = error
        texts.append(text)
        verdicts.append(verdict)
    for numbers in units(batch):
        share_refusal(numbers, verdicts)
    return texts, verdicts


def units(batch: Sequence[Append]) -> list[list[int]]:
    """The numbers of the appends that are written all or none: most of them alone."""
    found: list[list[int]] = []
    named: dict[str, list[int]] = {}
    for number, each in enumerate(batch):
        if each.together is None:
            found.append([number])
        elif each.together in named:
            named[each.together].append(number)
        else:
            named[each.together] = [number]
            found.append(named[each.together])
    return found


def share_refusal(numbers: Sequence[int], verdicts: list[Verdict]) -> bool:
    """What refuses one of a unit refuses each of it; whether anything does."""
    refused = next((verdicts[number] for number in numbers if verdicts[number] is not None), None)
    if refused is not None:
        for number in numbers:
            verdicts[number] = refused
    return refused is not None


def check(append: Append) -> None:
    """Refuse what would break an invariant of the row, whichever adapter it is for.

    Raises:
        StorageError: This is a bug of the caller; nothing was written.
    """
    standing, where = append.standing, f"execution {append.execution_id} at position {append.position}"
    if append.start is not None and (append.position != 0 or append.record is None):
        raise StorageError(f"{where}: a start travels with the record at position 0")
    if append.start is not None and append.start.version < 1:
        raise StorageError(f"{where}: a workflow's version is at least 1, not {append.start.version}")
    if standing is None:
        return
    if standing.status not in LIVE and standing.status not in ENDS:
        raise StorageError(f"{where}: {standing.status!r} is not a state of an execution")
    if (standing.ended_at_ms is not None) != (standing.status in ENDS):
        raise StorageError(
            f"{where}: a time of end is given if and only if the state is an end, not with {standing.status!r}"
        )
    if standing.parked and standing.ended_at_ms is not None:
        raise StorageError(f"{where}: what has ended is not parked")
    if standing.phase not in PHASES:
        raise StorageError(f"{where}: {standing.phase!r} is not a phase")


def initial(append: Append) -> tuple[Start, Standing]:
    """The row that a start begins with."""
    assert append.start is not None
    start = append.start if append.start.root else replace(append.start, root=append.execution_id)
    return start, append.standing or Standing(status="running", phase="forward")


def is_owned(standing: Standing) -> bool:
    """Whether somebody advances an execution that stands like this."""
    return standing.ended_at_ms is None and not standing.parked


def is_at_rest(standing: Standing) -> bool:
    """Whether an execution has ended or waits for a person."""
    return standing.ended_at_ms is not None or standing.status == "suspended"


def canonical(tree: Any) -> bytes:
    """The text by which two definitions are compared: keys in order, values exact."""
    return msgspec.json.encode(tree, order="sorted")


def attribute_text(value: Any) -> str:
    """The text by which a search attribute is found: of a text itself, of anything else its JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def plain(tree: Any) -> str:
    """The text by which a definition is kept: keys in their own order."""
    return msgspec.json.encode(tree).decode()


def id_taken(execution_id: str) -> Conflict:
    """There is an execution of that id already."""
    message = f"execution {execution_id!r} exists already. Look at it, or start under another id."
    return Conflict(message, code="execution_exists", existing=execution_id)


def key_taken(workflow: str, key: str, holder: str | None) -> Conflict:
    """A live execution holds the business key."""
    message = (
        f"business key {key!r} of workflow {workflow!r} is held by execution {holder!r}, which has not ended "
        "(or was called by one that has not). Wait for its end, or use another key."
    )
    return Conflict(message, code="business_key_taken", existing=holder)


def position_taken(append: Append, positions: int | None) -> Fenced:
    """The journal does not stand where the writer believes it does."""
    if positions is None:
        return Fenced(
            f"execution {append.execution_id!r} has no row, so that nothing can be appended to it; nothing was written"
        )
    return Fenced(
        f"execution {append.execution_id!r} stands at position {positions}, not {append.position}: "
        "somebody else has written to it, or a record is missing; nothing was written"
    )


def version_taken(name: str, version: int) -> Conflict:
    """An explicit version of a definition exists with other content."""
    message = (
        f"workflow {name!r} version {version} exists with other content. "
        "Register it without a version, or with a new one."
    )
    return Conflict(message, code="version_exists", existing=f"{name}:{version}")


def version_invalid(name: str, version: int) -> Conflict:
    """Versions count from 1."""
    return Conflict(f"workflow {name!r}: a version is at least 1, not {version}.", code="version_invalid")

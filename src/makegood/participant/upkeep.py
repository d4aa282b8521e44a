"""The table's own care: made where it is missing, and rid of what nobody will ask for again."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from makegood.participant.answers import NOTHING, Answer
from makegood.participant.rule import Step, Work, begun, harmless, rolled_back
from makegood.participant.statements import Dialect, statements


def created(dialect: Dialect, table: str, wait_s: float) -> Work:
    """Make the table, unless it is there: then nothing is written, and no right to make tables is needed.

    Raises:
        NotDone: The database is not well, or the service may not make tables.
    """
    known = statements(dialect, table)

    def work() -> Generator[Step, Any, None]:
        if (yield from harmless(Step("run", (known["exists"], (table,))))):
            return
        if dialect == "postgres":
            # `IF NOT EXISTS` fails for one of two that make it at the same moment.
            yield from harmless(Step("run", (known["create_alone"], ())))
        yield from harmless(Step("run", (known["table"], ())))
        yield from harmless(Step("run", (known["index"], ())))

    yield from _transaction(work(), wait_s)
    return NOTHING


def forgotten(dialect: Dialect, table: str, before_ms: int, wait_s: float) -> Work:
    """Delete rows that were written before that time, a thousand in a transaction; how many, as the answer's body."""
    known = statements(dialect, table)
    count = 0

    def work() -> Generator[Step, Any, int]:
        return len((yield Step("run", (known["forget"], (before_ms,)))))

    while deleted := (yield from _transaction(work(), wait_s)):
        count += deleted
    return Answer(200, str(count))


def _transaction(work: Generator[Step, Any, Any], wait_s: float) -> Generator[Step, Any, Any]:
    yield from begun(wait_s)
    try:
        result = yield from work
        yield Step("commit")
    except GeneratorExit:
        raise
    except BaseException:
        yield from rolled_back()
        raise
    return result

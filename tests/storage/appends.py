"""Appends to write, for the tests and for the processes that they start."""

from __future__ import annotations

from typing import Any

from makegood.core.events import ExecutionStarted, Record, SignalReceived
from makegood.ports import Append, Standing, Start


def first(execution_id: str, value: Any = None, standing: Standing | None = None, **given: Any) -> Append:
    row = Start(workflow="trip", version=1, start_hash="h", started_at_ms=5, **given)
    record = Record(5, (ExecutionStarted(execution_id, "trip", 1, value),))
    return Append(execution_id=execution_id, position=0, record=record, start=row, standing=standing)


def then(execution_id: str, position: int, value: Any = None, **given: Any) -> Append:
    return Append(
        execution_id=execution_id, position=position, record=Record(6, (SignalReceived("go", value),)), **given
    )

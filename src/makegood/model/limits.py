"""The limits of the language and of one execution. Numbers only; who exceeds one is refused elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every bound that a definition or an execution meets. All may be lowered, none raised.

    Attributes:
        definition_bytes: Source text of one definition.
        definition_nodes: Mappings, lists and scalars in one definition's tree.
        nesting: Steps within steps.
        payload_bytes: One input, output or signal payload, as JSON; the body of an undo has no bound.
        foreach_items: Items of one foreach.
        journal_events: Events of one execution's journal that forward work may add.
        starts_per_record: Steps started in one journal record.
        record_bytes: Rough size of one journal record at which the core continues in the next.
        json_depth: Depth of any JSON that is read.
        signals_waiting: Signals kept for one execution.
        lost_attempts: How often one step is sent again after crashes.
        child_depth: Workflows within workflows.
    """

    definition_bytes: int = 1024 * 1024
    definition_nodes: int = 10_000
    nesting: int = 64
    payload_bytes: int = 2 * 1024 * 1024
    foreach_items: int = 100_000
    journal_events: int = 1_000_000
    starts_per_record: int = 100
    record_bytes: int = 4 * 1024 * 1024
    json_depth: int = 200
    signals_waiting: int = 1_000
    lost_attempts: int = 10
    child_depth: int = 32


LIMITS = Limits()

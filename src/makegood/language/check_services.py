"""Are the services that a definition names registered? Asked only where the caller knows them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from makegood.errors import nearest
from makegood.language.order import walk
from makegood.language.problems import Problems
from makegood.model import Call, ChildWorkflow, Definition


def check_services(
    definition: Definition, services: Collection[str], problems: Problems, *, discoverable: bool
) -> None:
    """Report each call and compensation whose service is not there; a warning where it may come later."""
    known = frozenset(services)
    report = problems.warning if discoverable else problems.error
    for what, service, pointer in _named(definition):
        if service and service not in known and not problems.full:
            remedy = nearest(service, known) or f" Register {service!r} first."
            report(
                "unknown_service", f"{what} calls the service {service!r}, and it is not registered.{remedy}", pointer
            )


def services_of(definition: Definition) -> frozenset[str]:
    """The names of the services that a definition calls, compensations included."""
    return frozenset(service for _, service, _ in _named(definition))


def _named(definition: Definition) -> Iterator[tuple[str, str, str]]:
    for step in walk(definition.steps):
        if isinstance(step, Call):
            yield f"Step {step.id!r}", step.service, f"{step.pointer}/call"
        undo = step.compensation if isinstance(step, Call | ChildWorkflow) else None
        if undo is not None:
            yield f"Step {step.id!r}: its compensation", undo.service, undo.pointer

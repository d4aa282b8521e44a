"""All that registration checks beyond the shape of the tree, in one call. Each check is a module of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from makegood.language.check_contracts import check_contracts, check_read
from makegood.language.check_expressions import check_expressions
from makegood.language.check_families import Callee, check_children
from makegood.language.check_keys import check_idle_keys, check_keys
from makegood.language.check_pivot import check_finally, check_pivots
from makegood.language.check_risks import check_risks
from makegood.language.check_schemas import check_schemas
from makegood.language.check_services import check_services
from makegood.language.order import Ways
from makegood.language.problems import Problems
from makegood.model import Definition
from makegood.model.contract import Contract, Unread


def check(
    definition: Definition,
    problems: Problems,
    *,
    services: Collection[str] | None,
    discoverable: bool,
    contracts: Mapping[str, Contract | Unread],
    children: Mapping[Callee, tuple[str, ...]],
    incomplete: bool,
) -> None:
    """Add what is wrong with a definition, or risky in it, to the problems.

    Args:
        definition: As it was read.
        problems: Where to report.
        services: The services there are; None leaves them unchecked.
        discoverable: Whether other services may be found later.
        contracts: What the services that describe themselves say of their methods.
        children: The pivots of the other workflows that are known, by how a step may call them.
        incomplete: Whether parts of the definition could not be read.
    """
    said = {service: each for service, each in contracts.items() if isinstance(each, Contract)}
    check_expressions(definition, problems, Ways(definition), said, incomplete=incomplete)
    if contracts:
        check_contracts(definition, said, problems)
        check_read(definition, {name: each for name, each in contracts.items() if isinstance(each, Unread)}, problems)
    check_pivots(definition, problems)
    check_finally(definition, problems)
    check_children(definition, children, problems)
    check_keys(definition, problems)
    check_schemas(definition, problems)
    if services is not None:
        check_services(definition, services, problems, discoverable=discoverable)
    if not problems.failed:
        check_risks(definition, problems)
        check_idle_keys(definition, problems)

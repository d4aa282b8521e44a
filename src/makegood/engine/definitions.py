"""Registered definitions, compiled once per version and kept for as long as they are used."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from makegood.core.program import Program, compile_program
from makegood.engine.families import check_family
from makegood.errors import InputError, NotFound, nearest
from makegood.expression import Expression, ExpressionError, compile_expression
from makegood.language import load_canonical, pivots
from makegood.model import Definition, SignalStep
from makegood.ports import Journal, StoredDefinition

KEPT_MAX = 256
"""Compiled programs kept at once."""
VERSIONS_TOLD = 10
"""The newest versions that a message names."""


@dataclass(frozen=True, slots=True)
class Registered:
    """One version of a workflow, ready to be started.

    Attributes:
        check_input: Raises InputError when an input does not fit the schema.
        business_key: Compiled, or None.
        pivots: The ids of its pivots: one that has some is no child, unless detached.
    """

    program: Program
    check_input: Callable[[Any], None]
    business_key: Expression | None
    search: tuple[tuple[str, Expression], ...]
    pivots: tuple[str, ...] = ()


class Definitions:
    """The definitions of one engine, backed by its journal."""

    def __init__(self, journal: Journal, now_ms: Callable[[], int]) -> None:
        self._journal = journal
        self._now_ms = now_ms
        self._kept: OrderedDict[tuple[str, int], Registered] = OrderedDict()
        self._asking: dict[str, asyncio.Future[StoredDefinition | None]] = {}
        # The definitions themselves are kept with their ids, so that an id is never another's.
        self._versions: OrderedDict[int, tuple[Definition, tuple[str, int]]] = OrderedDict()

    async def register(self, definition: Definition) -> tuple[Registered, bool]:
        """Store a definition; whether that made a new version.

        Raises:
            DefinitionError: A workflow with a pivot would become a child by it; nothing was stored.
            Conflict: Its explicit version exists with other content.
        """
        known = self._versions.get(id(definition))
        if known is not None and known[0] is definition and known[1] in self._kept:
            return self._kept[known[1]], False
        await check_family(self._journal, definition)
        stored, new = await self._journal.put_definition(
            definition.name,
            definition.tree,
            definition.version,
            self._now_ms(),
            compile_program(definition, definition.version or 1).services,
        )
        registered = self._keep(definition, stored.version)
        self._versions[id(definition)] = (definition, (stored.name, stored.version))
        while len(self._versions) > KEPT_MAX:
            self._versions.popitem(last=False)
        return registered, new

    async def get(self, name: str, version: int | None = None) -> Registered:
        """One version, or the newest.

        Raises:
            NotFound: There is none.
        """
        if version is not None and (name, version) in self._kept:
            self._kept.move_to_end((name, version))
            return self._kept[(name, version)]
        stored = await (self._newest(name) if version is None else self._journal.definition(name, version))
        if stored is None:
            raise NotFound(await self._unknown(name, version))
        if (kept := self._kept.get((name, stored.version))) is None:
            return self._keep(load_canonical(stored.tree), stored.version)
        self._kept.move_to_end((name, stored.version))
        return kept

    async def _newest(self, name: str) -> StoredDefinition | None:
        """The newest version as it is now: whoever asks while another asks already waits for the next answer."""
        asking = self._asking.get(name)
        if asking is not None:
            # What that one is told may be older than our question; the first to wake asks for all of us.
            await asyncio.wait([asking])
        if (asking := self._asking.get(name)) is None:
            asking = self._asking[name] = asyncio.ensure_future(self._journal.definition(name))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        return await asyncio.shield(asking)

    async def _unknown(self, name: str, version: int | None) -> str:
        newest = {each.name: each.version for each in await self._journal.definitions()}
        if name not in newest:
            return (
                f"no workflow {name!r} is registered.{nearest(name, newest)} "
                "Register it first: `makegood workflows put FILE`, or `engine.put(definition)`."
            )
        asked = range(max(1, newest[name] - VERSIONS_TOLD + 1), newest[name])
        older = [str(each) for each in asked if await self._journal.definition(name, each) is not None]
        there = f"{', '.join(older)} and {newest[name]}" if older else f"only {newest[name]}"
        earlier = ", and earlier ones" if asked.start > 1 else ""
        return f"workflow {name!r} has no version {version}. There is {there}{earlier}."

    def _keep(self, definition: Definition, version: int) -> Registered:
        key = (definition.name, version)
        if key not in self._kept:
            self._kept[key] = compiled(definition, version)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return self._kept[key]


def compiled(definition: Definition, version: int) -> Registered:
    """A definition with everything compiled that a start needs."""
    return Registered(
        compile_program(definition, version),
        schema_check(definition.input_schema, f"the input of workflow {definition.name!r}"),
        None if definition.business_key is None else compile_expression(definition.business_key),
        tuple((name, compile_expression(source)) for name, source in definition.search),
        pivots(definition),
    )


def schema_check(schema: Any, what: str) -> Callable[[Any], None]:
    """A check of values against a JSON Schema; one that takes everything for None."""
    if schema is None:
        return lambda _value: None
    import jsonschema_rs  # noqa: PLC0415 - not needed without a schema

    validator = jsonschema_rs.validator_for(schema)

    def check(value: Any) -> None:
        error = next(iter(validator.iter_errors(value)), None)
        if error is not None:
            parts = (str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path)
            pointer = "".join(f"/{part}" for part in parts)
            raise InputError(f"{what} does not fit its schema at {pointer or '/'}: {error.message}", pointer=pointer)

    return check


def check_payload(steps: Iterable[object], name: str, payload: Any) -> None:
    """Check a signal's payload against the one schema that its name has, at whichever step that is given.

    Raises:
        InputError: It does not fit.
    """
    signals = (step for step in steps if isinstance(step, SignalStep) and step.signal == name)
    schema = next((step.schema for step in signals if step.schema is not None), None)
    schema_check(schema, f"the payload of signal {name!r}")(payload)


def business_key_of(registered: Registered, value: Any) -> str | None:
    """The business key that an input gives, as text; null is no key.

    Raises:
        InputError: Its expression has no value for this input (rule 28).
    """
    if registered.business_key is None:
        return None
    try:
        key = registered.business_key.evaluate({"input": value})
    except ExpressionError as error:
        raise InputError(f"the business key has no value for this input: {error}") from error
    if key is None:
        return None
    if isinstance(key, str | int) and not isinstance(key, bool):
        return str(key)
    raise InputError("a business key must be a string, an int or null")


def search_of(registered: Registered, value: Any) -> dict[str, Any]:
    """The search attributes that an input gives.

    Raises:
        InputError: One of them has no value for this input.
    """
    found: dict[str, Any] = {}
    for name, expression in registered.search:
        try:
            found[name] = expression.evaluate({"input": value})
        except ExpressionError as error:
            raise InputError(f"the search attribute {name!r} has no value for this input: {error}") from error
    return found

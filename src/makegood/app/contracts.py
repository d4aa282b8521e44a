"""What services say of themselves: fetched when a definition names them, kept, and held against it.

A description that cannot be had, or read, never stops a registration: one that was read before, here or at
another replica, is used meanwhile; without one the calls go unchecked, and a warning says so and why.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from makegood.app.config import Config
from makegood.engine.log import log, names
from makegood.errors import ConfigurationError, DefinitionError, StorageError
from makegood.language import InvalidSchema, Loaded, compile_schema, load, read_document, services_of
from makegood.model.contract import Contract, Unread
from makegood.ports import Description, Directory
from makegood.services import Registry, ServiceConfig
from makegood.services.documents import NoDocument, fetched, is_url
from makegood.services.openapi import contract_of

FRESH_S = 60.0
"""For so long a description is taken as it was read."""


Check = Callable[[Any], str | None]
"""What is wrong with an answer's body, or None."""
_NO_CHECKS: Mapping[str, Check] = {}


@dataclass(slots=True)
class _Kept:
    config: ServiceConfig
    read_at: float
    contract: Contract | None
    fault: str
    checks: Mapping[str, Check]


class Contracts:
    """The descriptions of the services of one registry.

    Args:
        folder: Where files are that are named without a whole path.
        registry: Whose services; those with `validate` have their replies held to the description.
        directory: Gives the store's directory: what was read from an address is kept there for every replica, for
            when the address does not answer. None: nothing is kept beyond this process.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        registry: Registry,
        folder: str = "",
        *,
        directory: Callable[[], Directory] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._directory = directory
        self._folder = folder
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    @property
    def discoverable(self) -> bool:
        """Whether services that are not registered may be found later."""
        return self._registry.discovers

    async def of(self, services: Collection[str]) -> dict[str, Contract | Unread]:
        """What is known of those services that name a description."""
        described = {}
        for name in sorted(services):
            if self._registry.knows(name) and (config := self._registry.config(name)).openapi is not None:
                described[name] = config
        await asyncio.gather(*(self._refresh(config) for config in described.values()))
        found: dict[str, Contract | Unread] = {}
        for name in described:
            kept = self._kept[name]
            found[name] = kept.contract or Unread(kept.fault)
        return found

    async def follow(self) -> None:
        """Hold the replies of all services that want it to what they describe, and read what could not be read."""
        waiting = []
        for name in self._registry.names():
            config = self._registry.config(name)
            if config.validate:
                kept = self._kept.get(name)
                if kept is None or kept.config != config or kept.fault:
                    waiting.append(name)
                else:
                    self._registry.hold_to(name, kept.checks)
        await self.of(waiting)

    def fault(self, service: str) -> str | None:
        """Why a service's description could not be read the last time, or None."""
        kept = self._kept.get(service)
        return kept.fault or None if kept is not None else None

    async def _refresh(self, config: ServiceConfig) -> None:
        kept = self._kept.get(config.name)
        if kept is not None and kept.config != config:
            kept = None
        fresh = kept is not None and kept.contract is not None and self._clock() - kept.read_at < FRESH_S
        if kept is None or not fresh:
            kept = self._kept[config.name] = await self._read(config, None if kept is None else kept.contract)
        if config.validate and kept.contract is not None:
            self._registry.hold_to(config.name, kept.checks)

    async def _read(self, config: ServiceConfig, before: Contract | None) -> _Kept:
        contract, checks, fault = before, _NO_CHECKS, ""
        try:
            content = await fetched(config, self._folder)
            contract = read_contract(config, content)
            await self._keep(config, content)
        except NoDocument as error:
            fault = f"{config.openapi} {error}"
        except ConfigurationError as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - what others write must not stop a server
            fault = f"{config.openapi} cannot be read: {type(error).__name__}."
        if fault and contract is None:
            contract = await self._kept_before(config)
        if contract is not None and config.validate:
            checks, unfit = _checks(contract)
            fault = fault or unfit
        if fault:
            log.warning(names.DESCRIPTION_UNREAD, service=config.name, error=fault)
        return _Kept(config, self._clock(), contract, fault, checks)

    async def _keep(self, config: ServiceConfig, content: bytes) -> None:
        """Keep what an address answered, for the others and for later. A file is where it is."""
        if self._directory is None or config.openapi is None or not is_url(config.openapi):
            return
        text = content.decode("utf-8", "replace").replace("\0", "\ufffd")
        described = Description(source=config.openapi, content=text, read_ms=time.time_ns() // 1_000_000)
        with suppress(StorageError):
            await self._directory().keep_description(config.name, described)

    async def _kept_before(self, config: ServiceConfig) -> Contract | None:
        """What any replica has read from the same address before."""
        if self._directory is None:
            return None
        try:
            described = await self._directory().description(config.name)
        except StorageError:
            return None
        if described is None or described.source != config.openapi:
            return None
        try:
            return read_contract(config, described.content.encode())
        except Exception:  # noqa: BLE001 - as above: it is what somebody else wrote
            return None


def contracts_of(config: Config, registry: Registry, directory: Callable[[], Directory] | None = None) -> Contracts:
    """The descriptions of the services of a configuration; its files stand beside it."""
    return Contracts(registry, os.path.dirname(config.source or ""), directory=directory)


def read_contract(config: ServiceConfig, content: bytes) -> Contract:
    """What a description says of the methods of a service.

    Raises:
        ConfigurationError: It is no such description.
    """
    assert config.openapi is not None
    try:
        document = read_document(content, config.openapi)
    except DefinitionError as error:
        raise ConfigurationError(f"{config.openapi} cannot be read: {error}") from None
    methods = config.templates
    return contract_of(
        document,
        source=config.openapi,
        url=config.urls[0] if config.urls else "",
        templates={name: (method.verb, method.path.text) for name, method in methods.items()},
        shaped_requests=frozenset(name for name, each in methods.items() if each.body is not None or not each.sends),
        shaped_replies=frozenset(name for name, each in methods.items() if each.output is not None),
    )


def _checks(contract: Contract) -> tuple[Mapping[str, Check], str]:
    """By method: what is wrong with an answer's body, or None. And why some methods cannot be checked."""
    checks, unfit = {}, ""
    for method, operation in contract.operations.items():
        if operation.gives is None:
            continue
        try:
            checks[method] = _check(operation.gives)
        except InvalidSchema as error:
            unfit = unfit or f"{contract.source}: what {operation.where} gives is no schema: {error}"
    return checks, unfit


def _check(schema: Any) -> Check:
    validator = compile_schema(schema)

    def check(body: Any) -> str | None:
        wrong = next(iter(validator.iter_errors(body)), None)
        if wrong is None:
            return None
        pointer = "".join(f"/{part}" for part in wrong.instance_path) or "/"
        return f"at {pointer}: {wrong.message[:300]}"

    return check


async def load_held(text: str | bytes, contracts: Contracts, **known: Any) -> Loaded:
    """As `language.load`; calls of services that describe themselves are held to that.

    Raises:
        DefinitionError: The definition has mistakes.
    """
    known = {"services_discoverable": contracts.discoverable, **known}
    loaded = load(text, **known)
    said = await contracts.of(services_of(loaded.definition))
    return load(text, **known, contracts=said) if said else loaded

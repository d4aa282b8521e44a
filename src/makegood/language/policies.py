"""Retry, compensation, defaults and error handling: the forms of values that are small mappings.

Short and long form of each end in one value of the model. What the core merges (a call's own policy, the
defaults, the strategy's) is not merged here.
"""

from __future__ import annotations

from typing import Any, cast

from makegood.language import keys as k
from makegood.language.keys import Key, Keys
from makegood.language.problems import shown
from makegood.language.reader import Reader
from makegood.language.values import Unfit, target
from makegood.model import Backoff, Compensation, Defaults, ErrorHandling, RetryPolicy


def _policy(found: dict[str, Any], keys: Keys) -> RetryPolicy:
    """A policy; without `max_attempts` a retry that was asked for does retry."""
    plain = Backoff()
    initial = found.get("initial_interval", plain.initial_ms)
    backoff = Backoff(
        initial_ms=initial,
        factor=found.get("backoff", plain.factor),
        # A first wait longer than the default bound must not be cut down in silence.
        max_ms=found.get("max_interval", max(plain.max_ms, initial)),
        jitter=found.get("jitter", plain.jitter),
    )
    attempts = found.get("max_attempts", keys["max_attempts"].default)
    return RetryPolicy(attempts_max=attempts, backoff=backoff, retry_on=found.get("retry_on", ()))


def read_retry(reader: Reader, key: Key, value: object, pointer: str, what: str) -> RetryPolicy:
    """How a call, or an undo, is tried again."""
    keys = k.UNDO_RETRY if key.form == "undo_retry" else k.RETRY
    return _policy(reader.mapping(value, keys, pointer, f"{what}: `{key.name}`"), keys)


def read_call(reader: Reader, key: Key, value: object, pointer: str, what: str) -> tuple[str, str]:
    """Service and method."""
    if isinstance(value, str):
        return target(key, value)
    if isinstance(value, dict):
        found = reader.mapping(value, k.CALL_TARGET, pointer, f"{what}: `{key.name}`")
        # What is missing was reported; the rest of the step is still worth reading.
        return found.get("service", ""), found.get("method", "")
    raise Unfit(f"must be service.method, or {{service, method}}, not {shown(value)}.")


def read_compensation(reader: Reader, key: Key, value: object, pointer: str, what: str) -> Compensation | None:
    """What undoes a step."""
    if isinstance(value, str):
        service, method = target(key, value)
        return Compensation(service=service, method=method, pointer=pointer)
    if not isinstance(value, dict):
        raise Unfit(f"must be service.method, or {{call, input, when, retry, timeout}}, not {shown(value)}.")
    label = f"{what}: `{key.name}`"
    found = reader.mapping(value, k.COMPENSATION, pointer, label)
    called = _compensating_call(reader, value, found, pointer, label)
    if called is None:
        return None
    return Compensation(
        service=called[0],
        method=called[1],
        has_input="input" in found,
        input=found.get("input"),
        when=found.get("when"),
        retry=found.get("retry"),
        timeout_ms=found.get("timeout"),
        pointer=pointer,
    )


def _compensating_call(
    reader: Reader, value: dict[str, Any], found: dict[str, Any], pointer: str, label: str
) -> tuple[str, str] | None:
    apart = [name for name in ("service", "method") if name in value]
    if "call" in value:
        if apart:
            message = f"{label} has both `call` and `{apart[0]}`. Keep `call` alone, or `service` and `method`."
            reader.problems.error("two_calls", message, pointer)
        return found.get("call")
    if len(apart) < 2:
        message = f"{label} says not what to call. Write `call: service.method`, or `service` and `method`."
        reader.problems.error("missing_key", message, pointer)
        return None
    if "service" in found and "method" in found:
        return found["service"], found["method"]
    return None


def read_undo_defaults(reader: Reader, key: Key, value: object, pointer: str, what: str) -> dict[str, Any]:
    """The defaults of undos."""
    return reader.mapping(value, k.UNDO_DEFAULTS, pointer, f"{what}: `{key.name}`")


def read_defaults(reader: Reader, key: Key, value: object, pointer: str, what: str) -> Defaults:
    """The defaults of calls and undos."""
    found = reader.mapping(value, k.DEFAULTS, pointer, f"{what}: `{key.name}`")
    undo = found.get("compensation", {})
    return Defaults(
        timeout_ms=found.get("timeout"),
        retry=found.get("retry"),
        undo_timeout_ms=undo.get("timeout"),
        undo_retry=undo.get("retry"),
    )


def read_error_handling(reader: Reader, key: Key, value: object, pointer: str, what: str) -> ErrorHandling:
    """What the first failure that nothing catches does."""
    if not isinstance(value, dict):
        strategy = reader.one(_named(key), value, pointer, what)
        found: dict[str, Any] = {"strategy": strategy} if strategy else {}
    else:
        label = f"{what}: `{key.name}`"
        found = reader.mapping(value, k.ERROR_HANDLING, pointer, label)
        strategy = found.get("strategy")
        idle = sorted(found.keys() - {"strategy"})
        if strategy not in (None, "retry") and idle:
            message = (
                f"{label}: `{idle[0]}` means nothing under the strategy {strategy}. "
                "Remove it, or write strategy: retry."
            )
            reader.problems.error("only_with_retry", message, f"{pointer}/{idle[0]}", key=True)
    if strategy != "retry":
        return ErrorHandling(strategy=cast("Any", strategy or "compensation"))
    policy = _policy(found, k.ERROR_HANDLING)
    return ErrorHandling(strategy="retry", retry=policy, then=found.get("then", "fail_fast"))


def _named(key: Key) -> Key:
    return Key(name=key.name, form="choice", says=key.says, options=k.STRATEGIES)


def read_search(reader: Reader, key: Key, value: object, pointer: str, what: str) -> tuple[tuple[str, str], ...]:
    """Search attributes."""
    if not isinstance(value, dict):
        raise Unfit(f"must be a mapping of names and expressions, not {shown(value)}.")
    name = Key(name="name", form="text", pattern=k.ATTRIBUTE, says="")
    found: list[tuple[str, str]] = []
    for attribute, source in value.items():
        place = f"{pointer}/{attribute.replace('~', '~0').replace('/', '~1')}"
        inner = Key(name=attribute[:63], form="expression", says="")
        label = f"{what}: `{key.name}`"
        known = reader.one(name, attribute, place, label)
        expression = reader.one(inner, source, place, label)
        if known and expression:
            found.append((known, expression))
    return tuple(found)

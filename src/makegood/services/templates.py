"""The `methods` of a service: how one call becomes an ordinary HTTP request, and its answer an output.

Compiled and checked at birth; filling them is bounded. What is sent besides (headers, framing) and what a
status means where nothing is said of it is the adapter's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast, get_args
from urllib.parse import quote

from makegood.core.outcome import Outcome
from makegood.errors import ConfigurationError, nearest
from makegood.expression import ExpressionError, ExpressionSyntaxError, ValueMapping, compile_mapping, to_json
from makegood.model.limits import LIMITS
from makegood.ports import Invocation
from makegood.services.payload import InvalidPayload, decode, encode
from makegood.services.placeholders import BadTemplate, Path, Query, Unfillable, checked_target

Verb = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
VERBS: tuple[str, ...] = get_args(Verb)
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Verbs whose body is the input unless something else is said."""
_ASKED = ("input", "execution", "workflow", "step", "key", "attempt")
"""What is known when a request is made."""
_KEYS = ("verb", "path", "query", "body", "output", "outcomes", "callback")
_METHOD = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_STATUS = re.compile(r"[2-5][0-9]{2}")


@dataclass(frozen=True, slots=True)
class Request:
    """What is particular to one request.

    Attributes:
        verb: `PUT`.
        target: Behind the endpoint's own path, query included; escaped.
        body: JSON; None sends none.
    """

    verb: str
    target: str
    body: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One compiled method.

    Attributes:
        outcomes: What a status means where the table of replies says something else.
        callback: Whether the call carries an address to call back.
        output: From `reply` to what the step gets; None takes the answer's body.
    """

    verb: Verb
    path: Path
    query: Query
    body: ValueMapping | None
    sends: bool
    output: ValueMapping | None
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    callback: bool = False

    def request(self, invocation: Invocation) -> Request:
        """What to send.

        Raises:
            Unfillable: The input does not fit the template.
        """
        values = _values(invocation)
        target = checked_target(self.path.filled(values) + self.query.filled(values))
        if not self.sends:
            return Request(self.verb, target, None)
        if self.body is None:
            return Request(self.verb, target, encode(invocation.body))
        try:
            return Request(self.verb, target, encode(self.body.evaluate(values)))
        except ExpressionError as error:
            raise Unfillable(f"body: {error}") from None

    def answered(self, invocation: Invocation, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        """The output of an answer that is `ok`.

        Raises:
            Unfillable: The answer does not fit the mapping.
            InvalidPayload: There is no mapping, and the body is not JSON.
        """
        if self.output is None:
            return _body(status, body)
        reply: dict[str, Any] = {"status": status, "headers": dict(headers)}
        # A mapping that does not read the body does not need it to be JSON.
        with suppress(InvalidPayload):
            reply["body"] = decode(body) if body.strip() else None
        try:
            output = self.output.evaluate(_values(invocation) | {"reply": reply})
            return to_json(output, size_max=LIMITS.payload_bytes)
        except ExpressionError as error:
            raise Unfillable(f"output: {error}") from None


def _body(status: int, body: bytes) -> Any:
    if not body.strip():
        return None
    try:
        return decode(body)
    except InvalidPayload:
        # Of an answer that was no success until the configuration said so, a page in HTML is nothing to keep.
        if not 200 <= status < 300:
            return None
        raise


def _values(invocation: Invocation) -> dict[str, Any]:
    return {
        "input": invocation.body,
        "execution": invocation.execution_id,
        "workflow": invocation.workflow,
        "step": invocation.step,
        "key": invocation.key,
        "attempt": invocation.attempt,
    }


# --- from a configuration ---


def methods_from(table: Mapping[str, Any]) -> Mapping[str, Method]:
    """The `methods` of a configuration, compiled.

    Raises:
        ConfigurationError: One is wrong; it says which and, in `at`, where.
    """
    return MappingProxyType({name: _method(name, given) for name, given in table.items()})


def _method(name: str, given: Any) -> Method:
    at = ("methods", name)
    if _METHOD.fullmatch(name) is None:
        raise ConfigurationError(f"{name!r} cannot be a method's name", at=at)
    if not isinstance(given, Mapping):
        raise ConfigurationError(f'method {name!r} is a table: {{verb = "PUT", path = "/rooms/{{input.room}}"}}', at=at)
    for key in given:
        if key not in _KEYS:
            raise ConfigurationError(
                f"method {name!r} has no key {key!r}.{nearest(str(key), _KEYS)}", at=(*at, str(key))
            )
    verb = _verb(name, given.get("verb", "POST"))
    body = given.get("body", verb in WITH_BODY)
    return Method(
        verb=verb,
        path=_path(name, given.get("path", "/" + quote(name, safe=""))),
        query=_query(name, given.get("query", {})),
        body=None if isinstance(body, bool) else _mapping(name, "body", body, _ASKED),
        sends=body is not False,
        output=_mapping(name, "output", given["output"], (*_ASKED, "reply")) if "output" in given else None,
        outcomes=_outcomes(name, given.get("outcomes", {})),
        callback=_flag(name, "callback", given.get("callback", False)),
    )


def _flag(name: str, key: str, given: Any) -> bool:
    if not isinstance(given, bool):
        raise ConfigurationError(f"method {name!r}: {key} is true or false, not {given!r}", at=("methods", name, key))
    return given


def _verb(name: str, given: Any) -> Verb:
    if given not in VERBS:
        remedy = nearest(str(given).upper(), VERBS)
        raise ConfigurationError(f"method {name!r}: {given!r} is no verb.{remedy}", at=("methods", name, "verb"))
    return cast("Verb", given)


def _path(name: str, given: Any) -> Path:
    if not isinstance(given, str):
        raise ConfigurationError(f"method {name!r}: path must be a text", at=("methods", name, "path"))
    try:
        return Path(given, _ASKED)
    except BadTemplate as error:
        raise ConfigurationError(f"method {name!r}: path {given!r}: {error}", at=("methods", name, "path")) from None


def _query(name: str, given: Any) -> Query:
    at = ("methods", name, "query")
    if not isinstance(given, Mapping) or not all(isinstance(each, str) for each in given.values()):
        raise ConfigurationError(f"method {name!r}: query must be a table of texts", at=at)
    try:
        return Query(given, _ASKED)
    except BadTemplate as error:
        raise ConfigurationError(f"method {name!r}: query: {error}", at=at) from None


def _mapping(name: str, key: str, given: Any, names: tuple[str, ...]) -> ValueMapping:
    at = ("methods", name, key)
    if not _is_json(given):
        raise ConfigurationError(f"method {name!r}: {key} holds what JSON has no word for", at=at)
    try:
        return compile_mapping(given, names=names)
    except ExpressionSyntaxError as error:
        place = f" (at {error.pointer})" if error.pointer else ""
        raise ConfigurationError(f"method {name!r}: {key}{place}: {error.message}", at=at) from None


def _is_json(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_json(each) for key, each in value.items())
    if isinstance(value, list):
        return all(_is_json(each) for each in value)
    return value is None or isinstance(value, str | int | float)


def _outcomes(name: str, given: Any) -> Mapping[int, Outcome]:
    at = ("methods", name, "outcomes")
    if not isinstance(given, Mapping):
        raise ConfigurationError(f'method {name!r}: outcomes is a table, such as {{409 = "ok"}}', at=at)
    known = get_args(Outcome)
    for status, outcome in given.items():
        if _STATUS.fullmatch(str(status)) is None:
            raise ConfigurationError(f"method {name!r}: {status!r} is no status of HTTP that ends a call", at=at)
        if outcome not in known:
            remedy = nearest(str(outcome), known)
            raise ConfigurationError(f"method {name!r}: {status} = {outcome!r} is no outcome.{remedy}", at=at)
    return MappingProxyType({int(status): outcome for status, outcome in given.items()})

"""Journal records as JSON text and back: the one place that knows how a fact is spelled on disk.

Strangers keep out: no SQL, no judgement. A record is
`{"at": ms, "more": true, "events": [{"e": "step_scheduled", "v": 1, "step": ...}, ...]}`. What was
written once is read for ever: a new meaning of an event is a new version in `VERSIONS`, with an
upcaster from the old one, and `tests/golden/events` pins every version that was ever released.
What this code does not know raises `UnknownEvent`, and the execution is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

import msgspec

from makegood.core.events import Event, Record
from makegood.errors import StorageError
from makegood.storage import fields

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class UnknownEvent(StorageError):
    """A record holds what this code does not understand; nothing was changed.

    Attributes:
        kind: The event's kind, or "" when the record itself is unreadable.
        version: Its version, or 0.
    """

    code = "unknown_event"

    def __init__(self, message: str, *, kind: str = "", version: int = 0) -> None:
        self.kind = kind
        self.version = version
        super().__init__(message)


def kind_of(cls: type) -> str:
    """`StepScheduled` is spelled `step_scheduled`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


EVENTS: tuple[type, ...] = get_args(Event)
"""Every event class."""

VERSIONS: dict[type, int] = dict.fromkeys(EVENTS, 1)
"""The version that is written for each class."""

UPCASTERS: dict[tuple[str, int], Upcaster] = {}
"""(kind, version) to a function that turns its fields into those of the next version."""

FORMATS: dict[type, int] = {}
"""The format that first had an event class in the version that is written, where that is not format 1."""

FORMAT = 1
"""The newest format that this code folds. Raised with each release that adds to `FORMATS`, so that older
code, which shares the database while a release is rolled out, leaves alone what it could not fold."""


def format_of(record: Record) -> int:
    """The oldest format whose code can fold a record."""
    if not FORMATS:
        return 1
    return max((FORMATS.get(type(event), 1) for event in record.events), default=1)


def encode_record(record: Record) -> str:
    """The record as one line of JSON.

    Raises:
        StorageError: A value in it is not JSON (a lone surrogate, an object of some class).
    """
    head: dict[str, Any] = {"at": record.at_ms}
    if record.more:
        head["more"] = True
    head["events"] = [_ENCODERS[type(event)](event) for event in record.events]
    try:
        return _to_json(head).decode()
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise StorageError(f"a record cannot be written as JSON: {error}; nothing was written") from error


def decode_record(text: str | bytes) -> Record:
    """The record back.

    Raises:
        UnknownEvent: Its text, a kind, a version or a field is not known here.
    """
    return read_record(parse(text))


def parse(text: str | bytes) -> Any:
    """JSON text to plain values, exact for integers of any size.

    Raises:
        UnknownEvent: It is not JSON.
    """
    try:
        return _from_json(text)
    except msgspec.MsgspecError as error:
        raise UnknownEvent(f"a record is not the JSON that makegood writes ({error})") from error


def read_record(data: Any) -> Record:
    """A record from its parsed JSON. Raises as `decode_record`."""
    try:
        if not _RECORD_KEYS.issuperset(data):
            raise KeyError(*(data.keys() - _RECORD_KEYS))
        return Record(data["at"], tuple([_read_event(each) for each in data["events"]]), data.get("more", False))
    except (KeyError, TypeError, AttributeError) as error:
        raise UnknownEvent(
            f"a record has another shape than makegood writes ({error!r}); was a newer one here?"
        ) from error


def encode_event(event: Event) -> dict[str, Any]:
    """One event as plain values, with its kind and version first."""
    return _ENCODERS[type(event)](event)


def decode_event(data: dict[str, Any]) -> Event:
    """And back. Raises as `decode_record`."""
    return read_record({"at": 0, "events": [data]}).events[0]


def _read_event(data: dict[str, Any]) -> Event:
    key: tuple[Any, Any] = (data.pop("e"), data.pop("v"))
    found = _DECODERS.get(key)
    if found is None:
        return _upcast(key, data)
    decode, allowed = found
    if not allowed.issuperset(data):
        raise UnknownEvent(
            f"event {key[0]!r} version {key[1]} has fields that this version of makegood does not know: "
            f"{', '.join(sorted(data.keys() - allowed))}. Upgrade makegood; the execution is left as it is.",
            kind=key[0],
            version=key[1],
        )
    event: Event = decode(data)
    return event


def _upcast(key: tuple[Any, Any], data: dict[str, Any]) -> Event:
    upcaster = UPCASTERS.get(key)
    if upcaster is None:
        kind, version = key
        raise UnknownEvent(
            f"event {kind!r} version {version} is not known to this version of makegood. "
            "Upgrade makegood; the execution is left as it is.",
            kind=str(kind),
            version=version if isinstance(version, int) else 0,
        )
    return _read_event({**upcaster(data), "e": key[0], "v": key[1] + 1})


for _each in EVENTS:
    fields.check(_each)

_ENCODERS = {cls: fields.encoder(cls, {"e": kind_of(cls), "v": VERSIONS[cls]}) for cls in EVENTS}
_DECODERS = {(kind_of(cls), VERSIONS[cls]): (fields.decoder(cls), fields.keys(cls)) for cls in EVENTS}
_RECORD_KEYS = frozenset({"at", "more", "events"})
_to_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode

"""Write golden files for events that have none: `python tests/golden/write_missing.py`.

An existing file is never touched: what was released once is read for ever. A change that breaks one
needs a new version of the event and an upcaster (`makegood.storage.codec`), not a new file.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec

from makegood.core.events import Event, Failure, Reference
from makegood.storage import codec

FOLDER = Path(__file__).parent / "events"

FAILURE = Failure("sold_out", "no room left", {"left": 0}, "rejected", "book", (2, 1))
VALUE = {"amount": 129.95, "big": 2**70, "nul": "a\u0000b", "list": [1, None, True, "é"], "input_ref": ["input"]}
REFERENCE = Reference(("steps", "hotel", "rooms", 0))


def golden_path(cls: type) -> Path:
    """The file of the version of an event that is written now."""
    return FOLDER / f"{codec.kind_of(cls)}.v{codec.VERSIONS[cls]}.json"


def samples(cls: type) -> list[Event]:
    """An event with every field, one with as few as possible, and one with references."""
    every = {each.name: _value(each) for each in fields(cls)}
    few = {each.name: every[each.name] for each in fields(cls) if each.default is MISSING}
    referring = {each.name: REFERENCE for each in fields(cls) if each.type == "Any"}
    made = [cls(**every), cls(**few)]
    return [*made, cls(**{**every, **referring})] if referring else made


def told_of(value: Any) -> Any:
    """An event, or what is in it, told without the codec, so that the files say what they mean."""
    if isinstance(value, Reference):
        return {"Reference": list(value.path)}
    if is_dataclass(value):
        return {each.name: told_of(getattr(value, each.name)) for each in fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _value(each: Any) -> Any:
    if each.type == "Any":
        return VALUE
    if each.type == "Settled":
        return "unknown"
    if each.type == "Iteration":
        return (2, 1)
    if each.type.startswith("Failure"):
        return FAILURE
    if each.type == "bool":
        return each.default is not True
    if each.type.startswith("int"):
        return 1_764_028_800_000 if each.name.endswith("_ms") else 3
    return f"some {each.name}"


def main() -> None:
    """Write what is missing."""
    for cls in codec.EVENTS:
        path = golden_path(cls)
        if path.exists():
            continue
        told = [{"fields": told_of(each), "encoded": codec.encode_event(each)} for each in samples(cls)]
        with path.open("xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()

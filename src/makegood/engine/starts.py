"""What a start asks for, and whether two starts ask for the same."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from makegood.errors import Conflict, InputError
from makegood.model import Limits
from makegood.ports import Stored
from makegood.services.payload import InvalidPayload, plain

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A start as it was sent."""

    workflow: str
    version: int | None
    input: Any
    id: str | None = None
    business_key: str | None = None
    search: dict[str, Any] = field(default_factory=dict)


def start_hash(request: StartRequest) -> str:
    """What decides "same content": workflow, version as given, input, key and search attributes."""
    content = [request.workflow, request.version, request.input, request.business_key, request.search]
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def same_start(stored: Stored, request: StartRequest) -> None:
    """Accept a repeated start.

    Raises:
        Conflict: The id belongs to other content.
    """
    if stored.start.start_hash != start_hash(request):
        raise Conflict(
            f"execution {stored.execution_id!r} exists with other content (workflow {stored.start.workflow!r}, "
            f"started earlier with another input, version or key). Use another id, or the same content.",
            code="id_taken",
            existing=stored.execution_id,
        )


def checked_id(execution_id: str) -> str:
    """The id, if it may be one.

    Raises:
        InputError: It may not.
    """
    if ID.fullmatch(execution_id) is None:
        raise InputError(
            f"{execution_id!r} cannot be an id: use 1 to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit"
        )
    return execution_id


def plain_json(value: Any, limits: Limits) -> Any:
    """A private copy of a value as plain JSON, so that nobody can change it afterwards.

    Raises:
        InputError: It is no JSON, too large or too deep.
    """
    try:
        return plain(value, limits.payload_bytes)
    except InvalidPayload as error:
        raise InputError(f"the input is not plain JSON: {error}") from error

"""What a service says of its methods: what each takes, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One method, as the service's API description has it.

    Attributes:
        where: As the description names it: `POST /reserve`.
        takes: JSON Schema 2020-12 of the body of a request, whole in itself; None where nothing is said.
        gives: JSON Schema of the body of a successful answer; None where nothing is said.
    """

    where: str
    takes: Any = None
    gives: Any = None


@dataclass(frozen=True, slots=True)
class Contract:
    """The methods that a service describes.

    Attributes:
        source: Where the description comes from, for messages.
        operations: By the method's name in definitions. What is not among them, the service does not have.
        requests: The methods that are sent by a template, each with its request: `PUT /rooms/{input.room}`.
    """

    source: str
    operations: Mapping[str, Operation]
    requests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unread:
    """A service names a description, and it cannot be had.

    Attributes:
        why: A sentence that begins with its source.
    """

    why: str

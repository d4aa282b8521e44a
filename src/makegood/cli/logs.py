"""What the engine has to say while a command runs, as lines on stderr: for people, or one JSON object each.

Passwords in addresses are masked here too, whoever wrote them into a message. Strangers keep out: which
events there are is in `engine.log`.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Self

from makegood.app.effective import masked
from makegood.cli.failures import complain


class Lines(logging.Handler):
    """Shows what is said from a level on, for as long as it is entered."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._logger = logging.getLogger("makegood")
        self._before = self._logger.level

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        complain(masked("", f"{record.levelname.lower()}: {record.getMessage()}"))

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        if self.level < logging.WARNING:
            self._logger.setLevel(self.level)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._before)


class Warnings(Lines):
    """Shows warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)


MESSAGE = "message"
"""The event of a line that is none of the engine's own: a warning of the runtime, of a package, of a service."""


class JsonLines(logging.Handler):
    """One JSON object a line, for as long as it is entered: the engine's events, and the warnings of all others."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._root, self._ours = logging.getLogger(), logging.getLogger("makegood")
        self._before = self._ours.level
        self.addFilter(lambda record: record.levelno >= logging.WARNING or hasattr(record, "event"))

    def emit(self, record: logging.LogRecord) -> None:
        """One line: `time`, `level`, `event`, and the facts of the event."""
        complain(json.dumps(_line(record), ensure_ascii=False, default=repr))

    def __enter__(self) -> Self:
        self._root.addHandler(self)
        self._ours.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        self._root.removeHandler(self)
        self._ours.setLevel(self._before)


def _line(record: logging.LogRecord) -> dict[str, Any]:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"time": at, "level": record.levelname.lower(), "event": getattr(record, "event", MESSAGE)}
    facts: dict[str, Any] = getattr(record, "facts", None) or _message(record)
    return head | {name: masked("", value) for name, value in facts.items() if value is not None and name not in head}


def _message(record: logging.LogRecord) -> dict[str, Any]:
    trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
    return {"logger": record.name, "message": record.getMessage(), "trace": trace}

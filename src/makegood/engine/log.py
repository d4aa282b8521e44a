"""Every log event of the engine, by name. Error: a person must act. Warning: the engine tries again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any


class names:  # noqa: N801 - a namespace of constants
    """Stable names of log events."""

    CHILD_LEFT = "child_left"
    CHILD_LOST = "child_lost"
    COMMIT_FAILED = "commit_failed"
    DESCRIPTION_UNREAD = "description_unread"
    DIRECTORY_UNREAD = "directory_unread"
    ENGINE_BROKEN = "engine_broken"
    EXECUTION_NOT_UNDERSTOOD = "execution_not_understood"
    EXECUTION_RESUMED = "execution_resumed"
    EXECUTIONS_RESUMED = "executions_resumed"
    EXECUTION_UNSERVED = "execution_unserved"
    HEALTH_UNCHECKED = "health_unchecked"
    REQUEST_DROPPED = "request_dropped"
    REQUEST_FAILED = "request_failed"
    SERVER_FAILED = "server_failed"
    SERVER_LISTENS = "server_listens"
    SERVER_STOPS = "server_stops"
    SERVICE_FAULTY = "service_faulty"
    TELEMETRY_FAILED = "telemetry_failed"
    TOKENS_UNREADABLE = "tokens_unreadable"
    TRACES_UNAVAILABLE = "traces_unavailable"
    WRITE_ASKED = "write_asked"
    LEASE_LOST = "lease_lost"
    LEASE_UNPROVEN = "lease_unproven"
    WORKER_RETURNED = "worker_returned"
    WORKERS_DEAD = "workers_dead"
    JUDGEMENT_FAILED = "judgement_failed"


class Log:
    """Structured lines through the standard library: the event's name, then its facts.

    Attributes:
        hears: Told of every event with its facts, whether a line of it is written or not.
    """

    def __init__(self) -> None:
        self.hears: list[Callable[[str, dict[str, Any]], None]] = []
        self._logger = logging.getLogger("makegood")
        self._logger.addHandler(logging.NullHandler())

    def debug(self, event: str, **facts: Any) -> None:
        """One of many that are told of together besides."""
        self._write(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """Something worth knowing."""
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """Something the engine will try again."""
        self._write(logging.WARNING, event, facts)

    def error(self, event: str, **facts: Any) -> None:
        """Something a person must look at."""
        self._write(logging.ERROR, event, facts)

    def _write(self, level: int, event: str, facts: dict[str, Any]) -> None:
        for tell in self.hears:
            tell(event, facts)
        if self._logger.isEnabledFor(level):
            told = " ".join(f"{name}={value!r}" for name, value in facts.items())
            self._logger.log(level, "%s %s", event, told, extra={"event": event, "facts": facts})


log = Log()

"""What the engine has to say while a command runs: its warnings and errors, as lines on stderr."""

from __future__ import annotations

import logging
from typing import Self

from makegood.cli.failures import complain


class Lines(logging.Handler):
    """Shows what is said from a level on, for as long as it is entered."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._logger = logging.getLogger("makegood")
        self._before = self._logger.level

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        complain(f"{record.levelname.lower()}: {record.getMessage()}")

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

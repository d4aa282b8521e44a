"""What the engine has to say while a command runs: its warnings and errors, as lines on stderr."""

from __future__ import annotations

import logging
from typing import Self

from makegood.cli.failures import complain


class Warnings(logging.Handler):
    """Shows warnings and errors for as long as it is entered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger("makegood")

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        complain(f"{record.levelname.lower()}: {record.getMessage()}")

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)

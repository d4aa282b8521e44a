"""What one evaluation may use up, and what it works on. Knows no operator and no function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from makegood.expression.errors import BudgetExceeded
from makegood.expression.values import Timestamp

BUDGET_STEPS: Final = 200_000
TEXT_BYTES_MAX: Final = 32 * 1024 * 1024


class Impure(Protocol):
    """Where `now()` and `uuid()` come from, in the one place where they exist."""

    def now(self) -> Timestamp:
        """The current time."""
        ...

    def uuid(self) -> str:
        """A new unique id."""
        ...


class Scope:
    """One evaluation under way: its names, its loop variables and what it may still spend.

    Attributes:
        left: Steps that are left.
        text_left: Bytes of text that may still be produced; what keeps memory bounded.
        slots: Values of the loop variables; the compiler numbers them.
        patterns: Regular expressions this evaluation has compiled, so that it pays for each once.
        built: Ids of the containers this evaluation made. Whatever is not among them came
            with the bindings and is JSON already.
    """

    __slots__ = ("bindings", "budget", "built", "impure", "left", "patterns", "slots", "text_left")

    def __init__(self, bindings: Mapping[str, object], budget: int, slots: int, impure: Impure | None = None) -> None:
        self.bindings = bindings
        self.budget = budget
        self.left = budget
        self.text_left = TEXT_BYTES_MAX
        self.slots: list[object] = [None] * slots
        self.impure = impure
        self.built: set[int] = set()
        self.patterns: dict[str, Any] | None = None

    def spend(self, steps: int) -> None:
        """Account for work before it is done.

        Raises:
            BudgetExceeded: There is not that much left.
        """
        self.left -= steps
        if self.left < 0:
            raise self.exhausted()

    def produce(self, size: int) -> None:
        """Account for `size` bytes of text that are about to be made.

        Raises:
            BudgetExceeded: There is not that much left.
        """
        self.left -= 1 + (size >> 10)
        self.text_left -= size
        if self.left < 0 or self.text_left < 0:
            raise self.exhausted()

    def exhausted(self) -> BudgetExceeded:
        """The error that ends this evaluation."""
        if self.text_left < 0:
            return BudgetExceeded(
                f"The expression produces more than {TEXT_BYTES_MAX >> 20} MiB of text. Let a service do it."
            )
        return BudgetExceeded(
            f"The expression takes more than {self.budget} steps. Work on less data, or let a service do it."
        )


def text_bytes(text: str) -> int:
    """Upper bound of the memory a text takes, known without looking at it."""
    return len(text) if text.isascii() else 4 * len(text)

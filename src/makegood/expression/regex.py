"""Regular expressions in linear time, by RE2. The only module that knows the `re2` package."""

from __future__ import annotations

from typing import Any, Final

from makegood.expression.budget import Scope
from makegood.expression.errors import ExpressionError, shown

_PATTERN_CHARS_MAX: Final = 1000
_MEMORY_BYTES: Final = 512 * 1024
_CACHED_MAX: Final = 128
# Repetitions, classes and folded case make large programs of short patterns.
_HEAVY_STEPS: Final = 10_000
_SMALL_PROGRAM: Final = 16

_cache: dict[str, Any] = {}


def compiled_within(scope: Scope, pattern: str) -> Any:
    """A pattern that is known only now; each costs the evaluation once, at hand already or not.

    Raises:
        ExpressionError: It is no RE2 pattern, or too large a one.
    """
    if scope.patterns is None:
        scope.patterns = {}
    found = scope.patterns.get(pattern)
    if found is None:
        heavy = _HEAVY_STEPS if "{" in pattern or "\\" in pattern or "(?" in pattern else 0
        scope.spend(1000 + heavy + 100 * min(len(pattern), _PATTERN_CHARS_MAX))
        found = scope.patterns[pattern] = compiled(pattern)
    return found


def compiled(pattern: str) -> Any:
    """The pattern, ready to search with.

    Raises:
        ExpressionError: It is no RE2 pattern, or too large a one.
    """
    found = _cache.get(pattern)
    if found is not None:
        return found
    if len(pattern) > _PATTERN_CHARS_MAX:
        raise ExpressionError(f"The regular expression is longer than {_PATTERN_CHARS_MAX} characters.")
    import re2  # noqa: PLC0415 - half a megabyte that most definitions never need

    options = re2.Options()
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    # Only whether it matches is asked; finding the groups would be a second, slower pass.
    options.never_capture = True
    try:
        found = re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ExpressionError(f"{shown(pattern)} is no regular expression: {_reason(error)}.") from None
    if len(_cache) >= _CACHED_MAX:
        _cache.pop(next(iter(_cache)), None)
    _cache[pattern] = found
    return found


def search(scope: Scope, pattern: Any, text: str) -> bool:
    """Whether the pattern matches anywhere in the text.

    The price is that of RE2's slowest method, which looks at every state for every character;
    it is never needed for a small program, all of whose automaton fits into memory.
    """
    states = 1 if pattern.programsize <= _SMALL_PROGRAM else pattern.programsize
    scope.spend(1 + (len(text) * states >> 6))
    try:
        return pattern.search(text) is not None
    except UnicodeEncodeError:
        raise ExpressionError("The text holds half of a surrogate pair, which no pattern can match.") from None


def _reason(error: Exception) -> str:
    detail = error.args[0] if error.args else error
    return detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)

"""Every deliberate error of makegood. Strangers keep out: this module imports nothing of ours.

The tree (each has a stable `code`; a message says what happened, which one, and what to do):

    MakegoodError
    ├── ExpressionError and kin         (makegood.expression: a value could not be computed)
    ├── DefinitionError                 a workflow definition has mistakes; carries every Problem
    ├── InputError                      an input or payload does not fit; nothing was changed
    ├── ConfigurationError              makegood.toml, a flag or a variable is wrong
    ├── NotFound                        no such execution, workflow or service
    ├── Conflict                        an id, version or key is taken by other content
    ├── Refused                         the execution's state does not allow the request
    ├── StorageError
    │   ├── StorageUnavailable          cannot be opened, read-only, full, gone
    │   ├── StorageHeld                 another engine holds the file
    │   ├── StorageCorrupt              the file is damaged; nothing was written
    │   └── StorageVersion              the schema is newer or older than this code
    ├── Fenced                          this engine has lost the right to write
    ├── ServerUnavailable               a server cannot be reached, or can do nothing at the moment
    ├── ServiceError
    │   └── Rejected                    raised by a local service: a definite no
    └── ExecutionEnded                  an execution ended otherwise than completed
        ├── ExecutionFailed
        ├── ExecutionCompensated
        ├── CompensationFailed
        ├── ExecutionSuperseded
        └── ExecutionSuspended
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any


class MakegoodError(Exception):
    """The root of the tree: catching it catches every deliberate error."""

    code: str = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a definition, or one warning about it.

    Attributes:
        message: What is wrong and what to do, one or two sentences.
        pointer: JSON pointer (RFC 6901) of the place in the definition's tree.
        line: Line in the source text, from 1; None when there is no text.
        column: Column in that line, from 1; None when there is no text.
        code: Stable name of the kind of mistake, for example `unknown_key`.
        severity: `error` refuses the definition, `warning` does not.
    """

    message: str
    pointer: str = ""
    line: int | None = None
    column: int | None = None
    code: str = "invalid"
    severity: str = "error"

    def located(self, source: str) -> str:
        """The problem as one line of text, `source:line:column: message`, or with its pointer."""
        kind = "" if self.severity == "error" else f"{self.severity}: "
        if self.line is not None:
            return f"{source}:{self.line}:{self.column}: {kind}{self.message}"
        return f"{source}#{self.pointer}: {kind}{self.message}"


class DefinitionError(MakegoodError):
    """A workflow definition has mistakes. `problems` lists all that were found, in order."""

    code = "invalid_definition"

    def __init__(self, problems: Sequence[Problem], source: str = "definition") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__("\n".join(problem.located(source) for problem in self.problems))


class InputError(MakegoodError):
    """An input, payload or body does not fit. `pointer` is the place in the value."""

    code = "invalid_input"

    def __init__(self, message: str, *, pointer: str = "") -> None:
        self.pointer = pointer
        super().__init__(message)


class ConfigurationError(MakegoodError):
    """A setting is unknown, malformed or contradicts another.

    Attributes:
        at: The keys that lead to it within its section, `("methods", "reserve", "verb")`, where they are known:
            whoever read the file can say the line.
    """

    code = "invalid_configuration"

    def __init__(self, message: str, *, at: tuple[str, ...] = ()) -> None:
        self.at = at
        super().__init__(message)


class NotFound(MakegoodError):
    """There is no execution, workflow or service of that name."""

    code = "not_found"


class Conflict(MakegoodError):
    """The id, version or key is taken by other content. `existing` names the holder, if known."""

    code = "conflict"

    def __init__(self, message: str, *, code: str = "conflict", existing: str | None = None) -> None:
        self.existing = existing
        self.code = code
        super().__init__(message)


class Refused(MakegoodError):
    """The execution's state does not allow the request; nothing was changed."""

    code = "refused"

    def __init__(self, message: str, *, code: str = "refused", status: str | None = None) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


class StorageError(MakegoodError):
    """Something about the database. `retriable` says whether the same may succeed a moment later."""

    code = "storage_error"
    retriable: bool = False


class StorageUnavailable(StorageError):
    """The database cannot be opened, written or reached.

    Args:
        retriable: False where only opening it anew can help.
    """

    code = "storage_unavailable"

    def __init__(self, message: str = "", *, retriable: bool = True) -> None:
        self.retriable = retriable
        super().__init__(message)


class StorageHeld(StorageError):
    """Another engine holds the database. `holder` says which."""

    code = "storage_held"

    def __init__(self, message: str, *, holder: str = "") -> None:
        self.holder = holder
        super().__init__(message)


class StorageCorrupt(StorageError):
    """The database is damaged or is no database of ours; nothing was written to it."""

    code = "storage_corrupt"


class StorageVersion(StorageError):
    """The schema of the database is newer or older than this code reads."""

    code = "storage_version"


class Fenced(MakegoodError):
    """This engine has lost the right to write; what it did not commit is for its successor."""

    code = "fenced"


class ServerUnavailable(MakegoodError):
    """A server of ours cannot be reached, or can do nothing at the moment."""

    code = "server_unavailable"


class ServiceError(MakegoodError):
    """Something about a service."""

    code = "service_error"


class Rejected(ServiceError):
    """Raised by a local service: a definite no, nothing was done and nothing remains.

    Args:
        code: Stable name of the reason, for example `sold_out`; `retry_on` and `catch` see it.
        message: For people.
        details: Anything JSON.
    """

    code = "rejected"

    def __init__(self, code: str = "rejected", message: str = "", details: Any = None) -> None:
        self.code = code
        self.message = message
        self.details = details
        super().__init__(message or code)


class NotDone(ServiceError):
    """Raised by a local service: nothing was done, and the same call should come again; as 425 over HTTP.

    Args:
        message: For people.
    """

    code = "not_done"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or "nothing was done")


class Ongoing(Exception):
    """Returned or raised by a local service: accepted, call again with the same key.

    Args:
        poll_after_s: When to call again, in seconds; fractions are allowed. None: never, what came of it
            will be told by `engine.call_back`.
    """

    def __init__(self, poll_after_s: float | None = 1.0) -> None:
        if poll_after_s is not None and (not math.isfinite(poll_after_s) or poll_after_s < 0):
            raise ValueError(f"poll_after_s must be None or a number of seconds from 0, not {poll_after_s!r}")
        self.poll_after_s = poll_after_s
        super().__init__("what comes of it will be told" if poll_after_s is None else f"again after {poll_after_s} s")


class ExecutionEnded(MakegoodError):
    """An execution ended otherwise than completed.

    Attributes:
        execution_id: Which one.
        status: Its end, for example `compensated`.
        error: The first cause, `{code, message, details, outcome, step, iteration}`.
        view: The whole execution as `describe` gives it.
    """

    code = "execution_ended"

    def __init__(self, view: dict[str, Any]) -> None:
        self.execution_id: str = view["id"]
        self.status: str = view["status"]
        self.error: dict[str, Any] | None = view.get("error")
        self.view = view
        cause = self.error or {}
        where = f" at step {cause['step']!r}" if cause.get("step") else ""
        why = f": {cause.get('code')}{where}: {cause.get('message', '')}" if cause else ""
        stopped, successor = view.get("suspended"), view.get("superseded_by")
        if successor:
            super().__init__(f"execution {self.execution_id} failed{why}, and goes on as {successor}")
        elif stopped:
            note = f": {stopped['note']}" if stopped["note"] else ""
            super().__init__(f"execution {self.execution_id} is suspended ({stopped['reason']}){note}")
        else:
            super().__init__(f"execution {self.execution_id} ended {self.status}{why}")


class ExecutionFailed(ExecutionEnded):
    """Aborted; effects may remain, no rollback was asked for."""

    code = "failed"


class ExecutionCompensated(ExecutionEnded):
    """Aborted, and every effect that has a compensation is undone."""

    code = "compensated"


class CompensationFailed(ExecutionEnded):
    """Aborted, and at least one effect could not be undone: an operator must act."""

    code = "compensation_failed"


class ExecutionSuperseded(ExecutionEnded):
    """It failed, and another execution goes on in its place: `view["superseded_by"]`."""

    code = "superseded"


class ExecutionSuspended(ExecutionEnded):
    """Neither direction is safe, or an operator stopped it: an operator must act."""

    code = "suspended"


def nearest(name: str, known: Iterable[str]) -> str:
    """A remedy: ` Did you mean 'x'?` for the nearest known name, or what there is, or nothing."""
    names = sorted({str(each) for each in known})
    close = get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {close[0]!r}?"
    if names and len(names) <= 20:
        return f" Known: {', '.join(names)}."
    return ""

"""makegood: workflows that end well. Every step is journaled, every failure is made good.

These are the public names; everything else may change without notice. Each is imported when it is first
used, so that `import makegood` costs nothing that is not needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from makegood.app.files import load
    from makegood.core.judgement import Settings
    from makegood.engine.client import Engine
    from makegood.engine.handle import Execution
    from makegood.errors import (
        CompensationFailed,
        ConfigurationError,
        Conflict,
        DefinitionError,
        ExecutionCompensated,
        ExecutionEnded,
        ExecutionFailed,
        ExecutionSuperseded,
        ExecutionSuspended,
        Fenced,
        InputError,
        MakegoodError,
        NotDone,
        NotFound,
        Ongoing,
        Problem,
        Refused,
        Rejected,
        ServiceError,
        StorageCorrupt,
        StorageError,
        StorageHeld,
        StorageUnavailable,
        StorageVersion,
    )
    from makegood.language.builders import (
        call,
        child,
        fail,
        foreach,
        on_error,
        parallel,
        repeat,
        sequential,
        set_,
        signal,
        switch,
        try_,
        wait,
        when,
        workflow,
    )
    from makegood.language.changes import Change, changes
    from makegood.model import Limits
    from makegood.ports import Query
    from makegood.services import Call, ServiceConfig

    __version__: str

__all__ = [
    "Call",
    "Change",
    "CompensationFailed",
    "ConfigurationError",
    "Conflict",
    "DefinitionError",
    "Engine",
    "Execution",
    "ExecutionCompensated",
    "ExecutionEnded",
    "ExecutionFailed",
    "ExecutionSuperseded",
    "ExecutionSuspended",
    "Fenced",
    "InputError",
    "Limits",
    "MakegoodError",
    "NotDone",
    "NotFound",
    "Ongoing",
    "Problem",
    "Query",
    "Refused",
    "Rejected",
    "ServiceConfig",
    "ServiceError",
    "Settings",
    "StorageCorrupt",
    "StorageError",
    "StorageHeld",
    "StorageUnavailable",
    "StorageVersion",
    "__version__",
    "call",
    "changes",
    "child",
    "fail",
    "foreach",
    "load",
    "on_error",
    "parallel",
    "repeat",
    "sequential",
    "set_",
    "signal",
    "switch",
    "try_",
    "wait",
    "when",
    "workflow",
]

_BUILDERS = "call child fail foreach on_error parallel repeat sequential set_ signal switch try_ wait when workflow"
_HOMES = {
    **dict.fromkeys(_BUILDERS.split(), "makegood.language.builders"),
    "Call": "makegood.services",
    "Change": "makegood.language.changes",
    "Engine": "makegood.engine.client",
    "Execution": "makegood.engine.handle",
    "Limits": "makegood.model",
    "Query": "makegood.ports",
    "ServiceConfig": "makegood.services",
    "Settings": "makegood.core.judgement",
    "changes": "makegood.language.changes",
    "load": "makegood.app.files",
}
"""Where a name lives; one that is not listed is an error and lives in `makegood.errors`."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("makegood")
    elif name in __all__:
        value = getattr(import_module(_HOMES.get(name, "makegood.errors")), name)
    else:
        raise AttributeError(f"module 'makegood' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

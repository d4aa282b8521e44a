"""What a definition says, in the words of the language and without the short forms: for those who compare or show it.

`call: x.y` and `{service: x, method: y}`, or `60s` and `1m`, tell the same. Steps inside a step are not told.
"""

from __future__ import annotations

from typing import Any

from makegood.model import (
    Call,
    ChildWorkflow,
    Compensation,
    Definition,
    ErrorHandling,
    Fail,
    Foreach,
    If,
    Mapped,
    Parallel,
    Repeat,
    RetryPolicy,
    SetStep,
    SignalStep,
    Step,
    Switch,
    Try,
    Wait,
)  # fmt: skip

Told = dict[str, Any]
"""Keys of the language with plain JSON values; what was left out and has no default is not there."""


def tell_definition(definition: Definition) -> Told:
    """The keys of the definition itself, its steps apart."""
    defaults = definition.defaults
    undo = _given(timeout=_span(defaults.undo_timeout_ms), retry=_retry(defaults.undo_retry))
    return {
        "name": definition.name,
        "description": definition.description,
        "error_handling": _error_handling(definition.error_handling),
        "on_compensation_failure": definition.on_compensation_failure,
        "compensation_order": definition.compensation_order,
        **_given(
            timeout=_span(definition.timeout_ms),
            input_schema=definition.input_schema,
            business_key=definition.business_key,
        ),
        "defaults": _given(
            timeout=_span(defaults.timeout_ms), retry=_retry(defaults.retry), compensation=undo or None
        ),
        "search": dict(definition.search),
        **_mapped("output", definition.output),
    }  # fmt: skip


def tell_step(step: Step) -> Told:
    """The keys of a step, `kind` first; its id and the steps inside it apart."""
    return {"kind": kind_of(step), **_given(when=step.when), **_own(step)}


def kind_of(step: Step) -> str:
    """The kind key of a step."""
    return _KINDS.get(type(step).__name__) or type(step).__name__.lower()


_KINDS = {"SetStep": "set", "SignalStep": "signal", "ChildWorkflow": "workflow"}


def _own(step: Step) -> Told:  # noqa: C901 - one flat table
    match step:
        case Call():
            return _call(step)
        case ChildWorkflow():
            return {
                "workflow": step.workflow,
                "detached": step.detached,
                **_given(version=step.version, compensation=_compensation(step.compensation)),
                **_mapped("input", step.input),
            }
        case Parallel():
            return {"on_failure": step.on_failure, **_given(max_concurrency=step.max_concurrency)}
        case If():
            return {"if": step.condition}
        case Switch():
            return {"switch": [{"when": case.when} for case in step.cases]}
        case Foreach():
            return {
                "foreach": step.items, "as": step.name, "index_as": step.index_name,
                "max_concurrency": step.max_concurrency,
            }  # fmt: skip
        case Repeat():
            return {**_given(until=step.until, **{"while": step.while_}), "max_iterations": step.max_iterations}
        case Wait():
            return {"wait": {"until": step.until} if step.duration_ms is None else _span(step.duration_ms)}
        case SignalStep():
            return {
                "signal": step.signal,
                "on_timeout": step.on_timeout,
                **_given(timeout=_span(step.timeout_ms), schema=step.schema),
            }
        case Try():
            handlers = [{"errors": list(each.errors), "as": each.name} for each in step.handlers]
            return {"catch": handlers, "compensate": step.compensate}
        case SetStep():
            return {"set": step.value}
        case Fail():
            return {"fail": {"error": step.error, "message": step.message, "details": step.details}}
        case _:
            return {}


def _call(step: Call) -> Told:
    return {
        "call": step.call,
        **_mapped("input", step.input),
        **_given(
            timeout=_span(step.timeout_ms),
            ongoing_timeout=_span(step.ongoing_timeout_ms),
            retry=_retry(step.retry),
            compensation=_compensation(step.compensation),
        ),
        "read_only": step.read_only,
        "pivot": step.pivot,
        "retriable": step.retriable,
        "compensate_on_failure": step.compensate_on_failure,
    }


def _compensation(undo: Compensation | None) -> Told | None:
    if undo is None:
        return None
    told = _given(when=undo.when, retry=_retry(undo.retry), timeout=_span(undo.timeout_ms))
    return {"call": undo.call, **({"input": undo.input} if undo.has_input else {}), **told}


def _error_handling(handling: ErrorHandling) -> Told:
    if handling.strategy != "retry":
        return {"strategy": handling.strategy}
    return {"strategy": handling.strategy, **(_retry(handling.retry) or {}), "then": handling.then}


def _retry(policy: RetryPolicy | None) -> Told | None:
    if policy is None:
        return None
    return {
        "max_attempts": policy.attempts_max,
        "initial_interval": _span(policy.backoff.initial_ms),
        "backoff": policy.backoff.factor,
        "max_interval": _span(policy.backoff.max_ms),
        "jitter": policy.backoff.jitter,
        "retry_on": list(policy.retry_on),
    }


def _span(span_ms: int | None) -> str | None:
    """A duration in the largest unit in which it is a whole number."""
    if not span_ms:
        return None if span_ms is None else "0s"
    unit, length = next(each for each in _UNITS if span_ms % each[1] == 0)
    return f"{span_ms // length}{unit}"


_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def _mapped(key: str, value: Mapped | None) -> Told:
    return {} if value is None else {key: value.tree}


def _given(**told: Any) -> Told:
    return {key: value for key, value in told.items() if value is not None}

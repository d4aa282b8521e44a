"""Services of a play: scripts and plain functions behind the methods that a definition calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

from makegood.core.program import Program
from makegood.errors import ConfigurationError, InputError, NotDone, Ongoing, Rejected, nearest
from makegood.language.problems import Problems
from makegood.services.methods import Call as LocalCall
from makegood.services.methods import Method, methods_of
from makegood.simulation import form
from makegood.simulation.references import Names, names_of
from makegood.simulation.scenario import input_error
from makegood.simulation.script import Call, Scripted, ScriptedServices, Spell, read_reply
from makegood.testing.answers import Answer, ok, rejected, status
from makegood.testing.answers import ongoing as ongoing_

Services = Mapping[str, Any]
"""`service.method` to a reply, a list of replies or a function; or `service` to an object with methods."""


@dataclass(frozen=True, slots=True)
class _Served:
    """What stands behind the methods."""

    scripts: dict[str, list[Scripted]]
    functions: dict[str, Method]


class PlayedServices(ScriptedServices):
    """Services whose replies are scripted, or computed when a request is read.

    Attributes:
        raised: What functions raised that is neither an answer nor a refusal, in order.
    """

    def __init__(
        self,
        given: Services,
        programs: Sequence[Program],
        down: Sequence[str],
        unwell: Mapping[str, Sequence[Spell]],
        wait_ms: int,
    ) -> None:
        names = names_of(programs)
        for key, named in (("down", down), ("unwell", unwell)):
            for name in named:
                _check_known(name, names.services, f"{key}: the definition calls no service")
        served = _served(given, names)
        super().__init__(served.scripts, down, unwell, wait_ms)
        self.raised: list[Exception] = []
        self._functions = served.functions

    def _next(self, call: Call) -> Scripted:
        function = self._functions.get(call.method)
        return super()._next(call) if function is None else self._computed(function, call)

    def _computed(self, function: Method, call: Call) -> Scripted:
        try:
            given = function.arguments(call.invocation)
            answer = function.function(*(_in_virtual_time(each, call.at_ms) for each in given))
            if inspect.iscoroutine(answer):
                answer = _finished(answer, call.method)
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - a service may raise anything
            answer = error
        return self._as_reply(answer)

    def _as_reply(self, answer: Any) -> Scripted:
        """The same meaning that a local service's return or exception has in an engine."""
        match answer:
            case Answer():
                return answer.scripted
            case Ongoing():
                return ongoing_(answer.poll_after_s).scripted
            case Rejected():
                return rejected(answer.code, answer.message, answer.details).scripted
            case NotDone():
                return status(425, {"error": {"code": answer.code, "message": str(answer)}}).scripted
            case _Waits() | InputError():
                raise answer
            case Exception():
                self.raised.append(answer)
                return status(500, {"error": {"message": f"{type(answer).__name__}: {answer}"}}).scripted
            case None:
                return Scripted(kind="ok", value=None, effect=True)
            case _:
                return ok(answer).scripted


@dataclass(frozen=True, slots=True)
class _PlayedCall(LocalCall):
    now_ms: int = 0

    @property
    def remaining_s(self) -> float:
        """Seconds left until the deadline, on the virtual clock."""
        return max(0.0, (self.deadline_ms - self.now_ms) / 1000)


def _in_virtual_time(argument: Any, now_ms: int) -> Any:
    if not isinstance(argument, LocalCall):
        return argument
    known: dict[str, Any] = {each.name: getattr(argument, each.name) for each in fields(argument)}
    return _PlayedCall(**known, now_ms=now_ms)


class _Waits(InputError):
    pass


def _finished(coroutine: Coroutine[Any, Any, Any], method: str) -> Any:
    """The result of an async function that awaits nothing: there is no loop, as time is not real here."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise _Waits(f"the async function of {method} waits for something, and time is virtual here: answer at once")


def _served(given: Services, names: Names) -> _Served:
    served = _Served({}, {})
    for name, each in given.items():
        if "." in name:
            _check_known(name, names.methods, "services: the definition does not call")
            if callable(each) and not isinstance(each, Answer):
                served.functions[name] = _method(name, each)
            else:
                served.scripts[name] = _script(name, each)
        else:
            _check_known(name, names.services, "services: the definition calls no service")
            _serve_object(name, each, names, served)
    return served


def _check_known(name: str, known: frozenset[str], what: str) -> None:
    if name not in known:
        raise InputError(f"{what} {name!r}.{nearest(name, known)}")


def _serve_object(service: str, target: Any, names: Names, served: _Served) -> None:
    methods = methods_of(service, target)
    for called in sorted(names.methods):
        if called.partition(".")[0] != service:
            continue
        method = called.partition(".")[2]
        if method not in methods:
            raise InputError(f"services: {service!r} has no method {method!r}.{nearest(method, methods)}")
        served.functions[called] = methods[method]


def _method(name: str, function: Callable[..., Any]) -> Method:
    try:
        return methods_of(name, {"call": function})["call"]
    except ConfigurationError as error:
        raise InputError(f"services: {error}") from None


def _script(name: str, given: Any) -> list[Scripted]:
    replies = [given] if isinstance(given, Answer | Mapping) else given
    if not isinstance(replies, Sequence) or isinstance(replies, str) or not replies:
        raise InputError(
            f"services: {name} must be a reply such as ok({{...}}), a list of replies, or a function; not {given!r}"
        )
    return [_reply(name, number, each) for number, each in enumerate(replies)]


def _reply(name: str, number: int, given: Any) -> Scripted:
    if isinstance(given, Answer):
        return given.scripted
    if callable(given):
        raise InputError(f"services: reply {number} of {name} is a function; give the function instead of the list")
    problems = Problems(f"services {name!r}")
    form.reply(problems, given, f"/{number}")
    if problems.failed:
        raise input_error(problems)
    return read_reply(cast("Mapping[str, Any]", given))

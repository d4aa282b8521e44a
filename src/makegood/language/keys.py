"""Every key of the language: its form, its default, what it means. Tables only.

The reader, the JSON Schema and the reference docs are made from these tables, so that they cannot differ.
What a form accepts is said in `values` and `policies` for the reader and in `schema` for editors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NAME = r"[a-z][a-z0-9_-]{0,62}"
ID = r"[a-z][a-z0-9_]{0,62}"
LOCAL = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
SIGNAL = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
ATTRIBUTE = r"[A-Za-z_][A-Za-z0-9_-]{0,62}"

MANY = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a mapping.

    Attributes:
        name: As it is written.
        form: What its value must look like; names a reader and a piece of the JSON Schema.
        says: One or two sentences for people.
        required: Whether the mapping is wrong without it.
        default: The value when it is left out, as documentation shows it; None when there is none to show.
        options: The words a choice allows.
        pattern: What a string must match as a whole.
        least: The smallest number.
        most: The largest number.
    """

    name: str
    form: str
    says: str
    required: bool = False
    default: Any = None
    options: tuple[str, ...] = ()
    pattern: str = ""
    least: float = 0
    most: float = MANY


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of step: the key that makes it one, and the keys that may stand beside it.

    Attributes:
        id_optional: Whether the path may name the step instead.
        output: What `steps.<id>` is afterwards.
    """

    key: Key
    others: tuple[Key, ...] = ()
    id_optional: bool = False
    output: str

    @property
    def name(self) -> str:
        """The kind key."""
        return self.key.name


Keys = dict[str, Key]


def _table(*keys: Key) -> Keys:
    return {key.name: key for key in keys}


_ATTEMPTS = "Attempts in all, the first included."
_INITIAL = Key(name="initial_interval", form="duration", default="1s", says="Wait before the second attempt.")
_BACKOFF = Key(
    name="backoff", form="number", default=2.0, least=1, most=1000, says="Each further wait is the last one times this."
)
_MAX_INTERVAL = Key(name="max_interval", form="duration", default="60s", says="No wait is longer.")

RETRY = _table(
    Key(name="max_attempts", form="whole", default=3, least=1, says=_ATTEMPTS),
    _INITIAL,
    _BACKOFF,
    _MAX_INTERVAL,
    Key(name="jitter", form="number", default=0.0, most=1, says="Share of each wait that is random, 0 to 1."),
    Key(name="retry_on", form="codes", says="Codes of rejections that are tried again too; others never are."),
)

UNDO_RETRY = RETRY | _table(Key(name="max_attempts", form="whole", default=5, least=1, says=_ATTEMPTS))

COMPENSATION = _table(
    Key(name="call", form="call", says="The method that undoes, `service.method`."),
    Key(name="service", form="service", says="The service alone, with `method` beside it."),
    Key(name="method", form="method", says="The method alone, with `service` beside it."),
    Key(
        name="input",
        form="any",
        says="What the undo is sent; may hold ${...} over `step`, `input` and `steps`. "
        "Left out: the snapshot of the step, its input and its output.",
    ),
    Key(name="when", form="condition", says="The undo is skipped when this is false. An error in it counts as true."),
    Key(name="retry", form="undo_retry", says="The undo's own budget."),
    Key(name="timeout", form="timeout", default="30s", says="Bound of each attempt."),
)

CALL_TARGET = _table(
    Key(name="service", form="service", required=True, says="The service."),
    Key(name="method", form="method", required=True, says="Its method."),
)

UNDO_DEFAULTS = _table(
    Key(name="timeout", form="timeout", default="30s", says="Bound of each attempt of an undo without its own."),
    Key(name="retry", form="undo_retry", says="Budget of every undo without its own."),
)

DEFAULTS = _table(
    Key(name="timeout", form="timeout", default="30s", says="Bound of each attempt of a call without its own."),
    Key(name="retry", form="retry", says="How every call without its own is tried again."),
    Key(name="compensation", form="undo_defaults", says="The same for every undo."),
)

STRATEGIES = ("fail_fast", "compensation", "retry")

ERROR_HANDLING = _table(
    Key(
        name="strategy",
        form="choice",
        required=True,
        options=STRATEGIES,
        says="What the first failure that nothing catches does.",
    ),
    Key(name="max_attempts", form="whole", default=3, least=1, says=f"{_ATTEMPTS} Only with the strategy retry."),
    _INITIAL,
    _BACKOFF,
    _MAX_INTERVAL,
    Key(
        name="then",
        form="choice",
        default="fail_fast",
        options=STRATEGIES[:2],
        says="What happens when the attempts are used up. Only with the strategy retry.",
    ),
)

CASE = _table(
    Key(name="when", form="condition", required=True, says="The case is taken when it is the first that is true."),
    Key(name="steps", form="steps", required=True, says="What the case does."),
)

HANDLER = _table(
    Key(
        name="errors", form="codes", says="Codes, or the classes rejected, not_sent and unknown. Left out: everything."
    ),
    Key(
        name="as",
        form="local",
        default="error",
        pattern=LOCAL,
        says="The name of the error in the handler's expressions.",
    ),
    Key(name="steps", form="steps", required=True, says="What the handler does."),
)

FAILURE = _table(
    Key(name="error", form="code", required=True, says="The error's code, which `catch` and callers see."),
    Key(name="message", form="any", default="", says="For people; may hold ${...}."),
    Key(name="details", form="any", says="Anything; may hold ${...}."),
)

WAIT_UNTIL = _table(
    Key(
        name="until",
        form="moment",
        required=True,
        says="The moment to wait for: a timestamp, or a ${...} that gives one.",
    ),
)

COMMON = _table(
    Key(
        name="id", form="id", pattern=ID, says="The step's name, unique in the definition; `steps.<id>` is its output."
    ),
    Key(name="when", form="condition", says="The step is skipped when this is false; its output is null then."),
)

_INPUT = Key(name="input", form="any", says="What is sent; may hold ${...}. Left out: the workflow's input.")
_COMPENSATION = Key(
    name="compensation", form="compensation", says="What undoes the step when the execution aborts later."
)

_CALL = Kind(
    key=Key(name="call", form="call", says="Call a service: `service.method`, or {service, method}."),
    output="what the service answered",
    others=(
        _INPUT,
        Key(name="timeout", form="timeout", default="30s", says="Bound of each attempt."),
        Key(
            name="ongoing_timeout",
            form="timeout",
            says="Bound of the polling of a call that answers 202. Left out: the execution's timeout.",
        ),
        Key(name="retry", form="retry", says="How the call is tried again. Left out: one attempt."),
        _COMPENSATION,
        Key(name="read_only", form="flag", default=False, says="The call changes nothing, so nothing needs undoing."),
        Key(name="pivot", form="flag", default=False, says="Once this call has succeeded there is no way back."),
        Key(
            name="retriable",
            form="flag",
            default=False,
            says="The call succeeds in the end, so it may stand after a pivot.",
        ),
        Key(
            name="compensate_on_failure",
            form="flag",
            default=False,
            says="Undo the call even when it definitely failed.",
        ),
    ),
)

_PARALLEL = Kind(
    key=Key(name="parallel", form="branches", says="Steps side by side; a list among them is a sequence."),
    output="{parallel_results: [...]} in branch order",
    id_optional=True,
    others=(
        Key(name="max_concurrency", form="whole", least=1, says="How many branches run at once. Left out: all."),
        Key(
            name="on_failure",
            form="choice",
            default="drain",
            options=("drain", "wait_all"),
            says="After a branch's failure: start nothing more, or let the other branches finish first.",
        ),
    ),
)

_SEQUENTIAL = Kind(
    key=Key(name="sequential", form="steps", says="Steps one after another."),
    output="{sequential_results: [...]}",
    id_optional=True,
)

_IF = Kind(
    key=Key(name="if", form="condition", says="The condition that chooses the branch."),
    output="that of the last step of the branch taken, null if none",
    id_optional=True,
    others=(
        Key(name="then", form="steps", required=True, says="What happens when it is true."),
        Key(name="else", form="steps", says="What happens when it is false."),
    ),
)

_SWITCH = Kind(
    key=Key(name="switch", form="cases", says="Cases in order; the first whose condition is true is taken."),
    output="that of the last step of the case taken, null if none",
    others=(Key(name="default", form="steps", says="What happens when no case is true."),),
)

_FOREACH = Kind(
    key=Key(name="foreach", form="items", says='The list whose items are gone through: "${...}", or a list.'),
    output="list of each iteration's last output, in item order",
    others=(
        Key(
            name="as",
            form="local",
            default="item",
            pattern=LOCAL,
            says="The name of the item in the steps' expressions.",
        ),
        Key(name="index_as", form="local", default="index", pattern=LOCAL, says="The name of its number, from 0."),
        Key(name="max_concurrency", form="whole", default=1, least=1, says="How many items are under way at once."),
        Key(name="steps", form="steps", required=True, says="What happens with each item."),
    ),
)

_REPEAT = Kind(
    key=Key(name="repeat", form="steps", says="Steps that are done again and again."),
    output="that of the last round",
    others=(
        Key(name="until", form="condition", says="Checked after each round; true ends."),
        Key(name="while", form="condition", says="Checked before each round; false ends."),
        Key(name="max_iterations", form="whole", default=1000, least=1, says="Reaching it is a failure."),
    ),
)

_WAIT = Kind(
    key=Key(name="wait", form="wait", says="How long, or {until: timestamp}."),
    output="null",
)

_SIGNAL = Kind(
    key=Key(name="signal", form="text", pattern=SIGNAL, says="The signal to wait for."),
    output="the signal's payload; null after a timeout that continues",
    others=(
        Key(name="timeout", form="timeout", says="How long to wait at most. Left out: as long as the execution may."),
        Key(
            name="on_timeout",
            form="choice",
            default="fail",
            options=("fail", "continue"),
            says="Whether the timeout is a failure.",
        ),
        Key(name="schema", form="schema", says="JSON Schema 2020-12 of the payload; one per signal name."),
    ),
)

_WORKFLOW = Kind(
    key=Key(name="workflow", form="text", pattern=NAME, says="Run another workflow as a child."),
    output="the child's output",
    others=(
        Key(name="version", form="whole", least=1, most=2**31 - 1, says="Which version. Left out: the newest."),
        _INPUT,
        _COMPENSATION,
        Key(name="detached", form="flag", default=False, says="Start it and go on: its fate is its own."),
    ),
)

_TRY = Kind(
    key=Key(name="try", form="steps", says="A scope: a failure inside undoes it alone and runs a handler."),
    output="the body's, or the handler's",
    others=(
        Key(name="catch", form="handlers", says="Handlers; the first that fits the error runs."),
        Key(name="finally", form="steps", says="Runs whenever the scope is left from inside."),
        Key(name="compensate", form="flag", default=True, says="Whether a failure inside undoes the scope."),
    ),
)

_SET = Kind(
    key=Key(name="set", form="any", says="Compute a value; no service is called. now() and uuid() exist only here."),
    output="the value",
)

_FAIL = Kind(
    key=Key(name="fail", form="failure", says="End as a definite failure."),
    output="never",
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _CALL, _PARALLEL, _SEQUENTIAL, _IF, _SWITCH, _FOREACH, _REPEAT,
        _WAIT, _SIGNAL, _WORKFLOW, _TRY, _SET, _FAIL,
    )
}  # fmt: skip

KIND_KEYS: dict[str, Keys] = {name: COMMON | _table(kind.key, *kind.others) for name, kind in KINDS.items()}

TOP = _table(
    Key(name="name", form="text", required=True, pattern=NAME, says="The workflow's name; one name has many versions."),
    Key(name="version", form="whole", least=1, most=2**31 - 1, says="Left out: the next one."),
    Key(name="description", form="string", default="", says="For people."),
    Key(
        name="error_handling",
        form="error_handling",
        default="compensation",
        says="What the first failure that nothing catches does.",
    ),
    Key(
        name="on_compensation_failure",
        form="choice",
        default="continue",
        options=("continue", "halt", "retry_forever"),
        says="What happens when an undo has failed for good.",
    ),
    Key(
        name="compensation_order",
        form="choice",
        default="reverse",
        options=("reverse", "structured"),
        says="Undo one at a time, or the branches of a parallel side by side.",
    ),
    Key(
        name="timeout",
        form="timeout",
        says="Bound of a whole execution, from its start. Left out: the configuration's.",
    ),
    Key(name="defaults", form="defaults", says="For every call, or every undo, without its own."),
    Key(name="input_schema", form="schema", says="JSON Schema 2020-12; a start whose input does not fit is refused."),
    Key(
        name="business_key",
        form="expression",
        says="Expression over `input`; at most one live execution has its value.",
    ),
    Key(name="search", form="search", says="Search attributes: name and expression over `input`."),
    Key(name="steps", form="steps", required=True, says="What the workflow does, in order."),
    Key(name="output", form="any", says="The execution's result; may hold ${...}. Left out: the last step's output."),
)

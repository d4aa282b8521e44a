"""The pages of the reference, each a function from the code to Markdown. `docs.py` writes and compares them.

What the code does not say (introductions, the engine's codes, an example of every mistake) stands in
`docs/reference/texts.toml`. A code of the source without a text there is an error, and so is a text without a code.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
import typer
import yaml

import makegood
import makegood.participant
from makegood import errors
from makegood.api.description import statuses
from makegood.api.problems import CODES
from makegood.api.table import ROUTES
from makegood.app.keys import KEYS, SECTIONS
from makegood.cli.program import app
from makegood.core import events
from makegood.expression import BudgetExceeded, ExpressionError, PayloadTooLarge
from makegood.expression.functions import FUNCTIONS
from makegood.language import keys, load
from makegood.model import LIMITS

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "makegood"
NOTE = "<!-- Written by `make docs` from {source}; edit that. -->\n"
RULE = re.compile(r"\brules? (\d+)(?: and (\d+))?")
TEXTS: dict[str, Any] = tomllib.loads((ROOT / "docs/reference/texts.toml").read_text(encoding="utf-8"))


class Missing(Exception):
    """The code says something that no text explains, or the other way round."""


def page(title: str, source: str, *parts: str) -> str:
    """A whole page: the note, the title, and what follows."""
    body = "\n".join(part.rstrip("\n") + "\n" for part in parts if part)
    return f"{NOTE.format(source=source)}\n# {title}\n\n{body}"


def rows(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A table."""
    head = list(head)
    told = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    told += [f"| {' | '.join(_cell(each) for each in line)} |" for line in lines]
    return "\n".join(told) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def code(text: object) -> str:
    """As code, or a dash for nothing."""
    return f"`{text}`" if str(text) else "–"


def prose(docstring: str | None) -> str:
    """A docstring as Markdown: sections become lists, rules become links."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    told: list[str] = []
    section = False
    for line in lines:
        if re.fullmatch(r"(Args|Attributes|Raises|Returns):", line):
            section = True
            told.append(f"**{line[:-1]}**\n")
        elif section and re.match(r" {4}\S", line):
            name, colon, rest = line.strip().partition(": ")
            told.append(f"- {', '.join(code(each) for each in name.split(', '))}: {rest}" if colon else f"- {name}")
        elif section and line.startswith("    "):
            told[-1] += " " + line.strip()
        else:
            told += [""] if section and line and told[-1] else []
            section = section and not line
            told.append(line)
    return ruled("\n".join(told).strip())


def ruled(text: str) -> str:
    """The text with a link at each rule it names."""
    return RULE.sub(lambda found: f"[{found[0]}](rules.md)", text)


def settled(what: str, found: Iterable[str], told: Iterable[str]) -> None:
    """Raises Missing when the code and the texts do not name the same."""
    found, told = set(found), set(told)
    if found - told:
        raise Missing(f"docs/reference/texts.toml says nothing of {what}: {', '.join(sorted(found - told))}.")
    if told - found:
        raise Missing(
            f"docs/reference/texts.toml explains {what} that are not there: {', '.join(sorted(told - found))}."
        )


# --- cli ---------------------------------------------------------------------------------------


def cli() -> str:
    """Every command, its options, the exit codes."""
    command: Any = typer.main.get_command(app)
    parts = [TEXTS["intro"]["cli"], "## Exit codes\n", rows(("code", "meaning"), _exit_codes())]
    for name, each in sorted(commands(command)):
        context = each.make_context(f"makegood {name}", [], resilient_parsing=True)
        usage = " ".join(each.collect_usage_pieces(context))
        told = [_parameter(one, context) for one in each.params if "--help" not in getattr(one, "opts", ())]
        parts += [f"## makegood {name}\n", f"```\nmakegood {name} {usage}\n```\n", _paragraphs(each.help or "")]
        parts.append(rows(("argument or option", "meaning"), told))
    return page("Command line", "the commands in src/makegood/cli", *parts)


def _parameter(one: Any, context: Any) -> tuple[str, str]:
    record = one.get_help_record(context)
    name = record[0].split(" <")[0] if one.param_type_name == "argument" else record[0]
    return code(re.sub(r"\s+", " ", name)), re.sub(r"\s+", " ", record[1])


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its whole name, without the groups."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, f"{before}{name} ")
        else:
            yield f"{before}{name}", each


def _paragraphs(text: str) -> str:
    return "\n\n".join(re.sub(r"\s+", " ", each) for each in text.strip().split("\n\n")) + "\n"


def _exit_codes() -> Iterator[tuple[str, str]]:
    body = ast.parse((SOURCE / "cli/exits.py").read_text(encoding="utf-8")).body
    for statement, says in itertools.pairwise(body):
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            assert isinstance(says, ast.Expr)
            assert isinstance(says.value, ast.Constant)
            yield code(statement.value.value), str(says.value.value).replace("\n", " ")


# --- the HTTP API ------------------------------------------------------------------------------


def http_api() -> str:
    """Every route, its parameters and answers; every code that only the API has."""
    parts = [TEXTS["intro"]["http"]]
    routes = ((code(f"{each.method} {each.path}"), _role(each), each.doc) for each in ROUTES)
    parts += ["## Routes\n", rows(("route", "role", "what it does"), routes)]
    parts += [_route(each) for each in ROUTES if each.parameters or each.body is not None]
    parts += ["## Codes of problems\n", TEXTS["intro"]["http_codes"]]
    parts.append(rows(("code", "meaning"), ((code(name), says) for name, says in sorted(CODES.items()))))
    return page("HTTP API", "src/makegood/api/table.py", *parts)


def _role(route: Any) -> str:
    return "–" if route.public else "its own" if route.for_services else str(route.role.name.lower())


def _route(route: Any) -> str:
    told = [f"### {route.method} {route.path}\n"]
    if route.parameters:
        told.append(rows(("parameter", "meaning"), ((code(each.name), each.doc) for each in route.parameters)))
    if route.body is not None:
        media = " or ".join(code(each) for each in route.body.media)
        optional = " It may be left out." if route.body.optional else ""
        told.append(f"Body: {media}, at most {route.body.most:,} bytes.{optional}\n")
        if route.body.shape is not None:
            told.append(rows(("field", "type", "needed"), _fields(route.body.shape)))
    told.append("Answers: " + ", ".join(code(each) for each in statuses(route)) + ".\n")
    return "\n".join(told)


def _fields(shape: Any) -> Iterator[tuple[str, str, str]]:
    properties = msgspec.json.schema(shape)["$defs"][shape.__name__]
    needed = properties.get("required", ())
    for name, schema in properties["properties"].items():
        kinds = [each.get("type", "any") for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
        described = schema.get("description") or next(
            (each["description"] for each in schema.get("anyOf", ()) if "description" in each), ""
        )
        yield code(name), " or ".join(kinds) + (f": {described}" if described else ""), "yes" if name in needed else ""


# --- configuration -----------------------------------------------------------------------------


def configuration() -> str:
    """Every key of makegood.toml."""
    parts = [TEXTS["intro"]["configuration"]]
    for section in SECTIONS:
        shown = "services.NAME" if section == "services" else section
        told = (
            (code(key.name), _kind_of(key), _default(key.default), ruled(key.doc), code(key.variable))
            for key in KEYS
            if key.section == section
        )
        parts += [f"## [{shown}]\n", rows(("key", "type", "default", "meaning", "variable"), told)]
    return page("Configuration", "src/makegood/app/keys.py", *parts)


def _kind_of(key: Any) -> str:
    if key.choices:
        return " or ".join(code(each) for each in key.choices)
    least = f", at least {key.least:g}" if key.least is not None else ""
    above = f", above {key.above:g}" if key.above is not None else ""
    return f"{key.kind.words}{least}{above}"


def _default(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(f"{value:g}" if isinstance(value, float) else value)


# --- the language ------------------------------------------------------------------------------


def definition() -> str:
    """Every key of a definition."""
    tables = {
        "The retry of a call": keys.RETRY,
        "A compensation": keys.COMPENSATION,
        "The retry of a compensation": keys.UNDO_RETRY,
        "Call, written out": keys.CALL_TARGET,
        "error_handling, written out": keys.ERROR_HANDLING,
        "defaults": keys.DEFAULTS,
        "defaults.compensation": keys.UNDO_DEFAULTS,
        "A case of switch": keys.CASE,
        "A handler of catch": keys.HANDLER,
        "The value of fail": keys.FAILURE,
        "wait, until a moment": keys.WAIT_UNTIL,
    }
    used = {key.form for table in (keys.TOP, *keys.KIND_KEYS.values(), *tables.values()) for key in table.values()}
    settled("the forms", used, TEXTS["forms"])
    settled("the examples of keys", {"Top level", "Every step", *keys.KINDS, *tables}, TEXTS["examples"])
    parts = [TEXTS["intro"]["definition"], "## Top level\n", *_keys("Top level", keys.TOP)]
    parts += ["## Steps\n", TEXTS["intro"]["steps"], "### Every step\n", *_keys("Every step", keys.COMMON)]
    for name, kind in keys.KINDS.items():
        others = {each.name: each for each in (kind.key, *kind.others)}
        parts += [f"### {name}\n", f"{kind.key.says} Output: {kind.output}.\n", *_keys(name, others)]
    parts.append("## Parts\n")
    for title, table in tables.items():
        parts += [f"### {title}\n", *_keys(title, table)]
    parts += ["## Limits\n", TEXTS["intro"]["limits"], rows(("limit", "value", "of what"), _limits())]
    return page("The workflow definition", "src/makegood/language/keys.py", *parts)


def _keys(title: str, table: Mapping[str, keys.Key]) -> tuple[str, str]:
    """The table of keys, and an example that has each of them."""
    text = TEXTS["examples"][title].lstrip("\n")
    missing = sorted(set(table) - set(_written(yaml.safe_load(text))))
    if missing:
        raise Missing(f"docs/reference/texts.toml: the example of {title!r} does not show {', '.join(missing)}.")
    if problems := problems_of(text):
        raise Missing(f"docs/reference/texts.toml: the example of {title!r}: {problems[0].message}")
    told = rows(
        ("key", "type", "default", "meaning"),
        ((_named(key), _form(key), _key_default(key), key.says) for key in table.values()),
    )
    return told, f"```yaml\n{text}```\n"


def _written(value: Any) -> Iterator[str]:
    """Every key in a tree."""
    if isinstance(value, dict):
        yield from value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _written(each)


def _named(key: keys.Key) -> str:
    return f"`{key.name}`, required" if key.required else code(key.name)


def _form(key: keys.Key) -> str:
    if key.form == "choice":
        return " or ".join(code(each) for each in key.options)
    words: str = TEXTS["forms"][key.form]
    if key.form in {"whole", "number"}:
        most = "" if key.most >= keys.MANY else f" to {key.most:g}"
        return f"{words}, from {key.least:g}{most}"
    return f"{words} {code(key.pattern)}" if key.pattern else words


def _key_default(key: keys.Key) -> str:
    return "–" if key.required else _default(key.default)


def _limits() -> Iterator[tuple[str, str, str]]:
    says = inspect.cleandoc(type(LIMITS).__doc__ or "").partition("Attributes:")[2]
    told = dict(re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", says, re.MULTILINE))
    for field in dataclasses.fields(LIMITS):
        yield code(field.name), f"{getattr(LIMITS, field.name):,}", re.sub(r"\s+", " ", told[field.name])


# --- expressions -------------------------------------------------------------------------------


def expressions() -> str:
    """What an expression may hold."""
    told = []
    for name, function in FUNCTIONS.items():
        says = (function.compute.__doc__ or "").strip().split("\n")[0]
        says = TEXTS["functions"].get(name, says)
        if not says:
            raise Missing(f"docs/reference/texts.toml says nothing of the function {name}.")
        calls = [_signature(f"x.{name}", count) for count in function.method]
        calls += [_signature(name, count) for count in function.free]
        told.append((", ".join(calls), says))
    table = rows(("call", "gives"), told)
    return page(
        "Expressions",
        "src/makegood/expression/functions.py and docs/reference/texts.toml",
        TEXTS["intro"]["expressions"], "## Functions\n", table, TEXTS["intro"]["expressions_end"],
    )  # fmt: skip


def _signature(name: str, count: int) -> str:
    return code(f"{name}({', '.join('abc'[:count])})")


# --- events ------------------------------------------------------------------------------------


def journal_events() -> str:
    """Every event with its fields."""
    kinds = get_args(events.Event)
    parts = [TEXTS["intro"]["events"]]
    for kind in (*sorted(kinds, key=lambda each: str(each.__name__)), events.Failure, events.Reference):
        if kind is events.Failure:
            parts.append("## Parts of events\n")
        level = "###" if kind in {events.Failure, events.Reference} else "##"
        parts += [f"{level} {kind.__name__}\n", prose(kind.__doc__) + "\n"]
        fields = [
            (code(field.name), code(str(field.type)), "required" if _required(field) else code(repr(field.default)))
            for field in dataclasses.fields(kind)
        ]
        if fields:
            parts.append(rows(("field", "type", "default"), fields))
    return page("Events of the journal", "src/makegood/core/events.py", *parts)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


# --- errors ------------------------------------------------------------------------------------


def all_errors() -> str:
    """Every class, every code."""
    classes = [
        each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, errors.MakegoodError)
    ]
    told = (
        (code(each.__name__), code(each.code), _raised(each), prose(each.__doc__).split("\n")[0]) for each in classes
    )
    settled("the codes of the engine", engine_codes(), TEXTS["engine_codes"])
    settled("the codes of refusals", refusal_codes(), TEXTS["refusals"])
    found = problem_codes()
    settled("the mistakes in definitions", found, TEXTS["problems"])
    parts = [
        TEXTS["intro"]["errors"],
        "## Classes\n", rows(("class", "code", "below", "meaning"), told),
        "## Codes of conflicts and refusals\n", TEXTS["intro"]["refusals"],
        rows(("code", "meaning"), ((code(each), says) for each, says in sorted(TEXTS["refusals"].items()))),
        "## Codes of failures\n", TEXTS["intro"]["engine_codes"],
        rows(("code", "meaning"), ((code(each), says) for each, says in sorted(TEXTS["engine_codes"].items()))),
        "## Mistakes in definitions\n", TEXTS["intro"]["problems"],
        rows(("code", "severity", "an example of its message"), (_problem(each) for each in sorted(found))),
    ]  # fmt: skip
    return page(
        "Errors", "src/makegood/errors.py, the sources that make the codes, and docs/reference/texts.toml", *parts
    )


def _raised(kind: type) -> str:
    parent = kind.__mro__[1].__name__
    return code(parent) if parent != "Exception" else "–"


def _problem(wanted: str) -> tuple[str, str, str]:
    """The message that the example in the texts really leads to."""
    text = TEXTS["problems"][wanted]
    if isinstance(text, dict):
        return code(wanted), text["severity"], text["message"]
    for problem in problems_of(text):
        if problem.code == wanted:
            return code(wanted), problem.severity, ruled(problem.message)
    raise Missing(f"docs/reference/texts.toml: the example of {wanted} leads to no such message.")


def problems_of(text: str) -> tuple[errors.Problem, ...]:
    """What loading a text leads to. A few lines of steps are put into a definition."""
    if not re.search(r"^(name|steps):|^[{]|^---", text, re.MULTILINE) and text.lstrip().startswith("- "):
        text = f"name: example\nsteps:\n{textwrap.indent(text, '  ')}"
    try:
        return load(text, source=f"example.{'json' if text.startswith('{') else 'yaml'}").warnings
    except errors.DefinitionError as error:
        return error.problems


CODE = re.compile(r"[a-z]+(?:_[a-z]+)+|empty|lost|timeout|cancelled")
WORD = re.compile(r"[a-z_]+")
OUTCOMES = {"not_sent"}
Shape = Callable[[ast.AST], Iterator[ast.expr]]


def _literals(folders: Iterable[str], shape: Shape, pattern: re.Pattern[str] = CODE) -> set[str]:
    """The codes in sources, at the places where that shape of code has one."""
    found: set[str] = set()
    for path in (each for folder in folders for each in sorted((SOURCE / folder).glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found |= {
                each.value
                for each in shape(node)
                if isinstance(each, ast.Constant) and isinstance(each.value, str) and pattern.fullmatch(each.value)
            }
    return found


def _called(node: ast.AST) -> str:
    function = getattr(node, "func", None)
    return function.attr if isinstance(function, ast.Attribute) else str(getattr(function, "id", ""))


def problem_codes() -> set[str]:
    """Every code of a mistake that the language reports."""
    makers = {"error", "warning", "at", "_at", "_stop", "_say", "Unfit", "InvalidSchema", "Problem"}

    def shape(node: ast.AST) -> Iterator[ast.expr]:
        if isinstance(node, ast.Call) and _called(node) in makers:
            yield from node.args
            yield from (each.value for each in node.keywords if each.arg == "code")
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and _is_message(node.elts[1]):
            yield node.elts[0]
        elif isinstance(node, ast.FunctionDef):
            defaults = node.args.defaults
            named = node.args.args[len(node.args.args) - len(defaults) :]
            yield from (value for each, value in zip(named, defaults, strict=True) if each.arg == "code")

    # What must look like a pattern has a code that is made from its key's name.
    made = {
        f"bad_{key.name}"
        for table in (keys.TOP, keys.HANDLER, *keys.KIND_KEYS.values())
        for key in table.values()
        if key.pattern
    }
    return _literals(["language"], shape) | _literals(["app", "engine", "cli"], _of_problem, WORD) | made


def _is_message(node: ast.expr) -> bool:
    return not isinstance(node, ast.Constant) or " " in str(node.value)


def _of_problem(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call) and _called(node) == "Problem":
        yield from (each.value for each in node.keywords if each.arg == "code")


def engine_codes() -> set[str]:
    """Every code of a failure that the engine makes by itself."""

    def shape(node: ast.AST) -> Iterator[ast.expr]:
        if isinstance(node, ast.Call) and _called(node) in {"Failure", "_failure"}:
            yield from node.args
        if isinstance(node, ast.Call) and _called(node) == "Reply":
            yield from (each.value for each in node.keywords if each.arg == "code")
        if isinstance(node, ast.Assign):
            targets, values = _pairs(node.targets[0]), _pairs(node.value)
            for target, value in zip(targets, values, strict=False):
                if getattr(target, "id", "") == "code":
                    yield from ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])

    raised = {ExpressionError.code, BudgetExceeded.code, PayloadTooLarge.code}
    found = _literals(["core", "services", "engine"], shape) - OUTCOMES
    return found | raised | {"max_iterations", "schema_error"}


def _pairs(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def refusal_codes() -> set[str]:
    """Every code of a Conflict or a Refused."""

    def shape(node: ast.AST) -> Iterator[ast.expr]:
        if isinstance(node, ast.Call) and _called(node) in {"Conflict", "Refused", "_refused"}:
            yield from (each.value for each in node.keywords if each.arg == "code")

    return _literals(["core", "engine", "storage", "app", "cli"], shape, WORD)


# --- python ------------------------------------------------------------------------------------


def python() -> str:
    """Every public name."""
    parts = [TEXTS["intro"]["python"]]
    for name in makegood.__all__:
        if name == "__version__":
            continue
        thing = getattr(makegood, name)
        shown = signature(name, thing)
        parts += [f"## {name}\n", f"```python\n{shown}\n```\n", prose(thing.__doc__) + "\n"]
        parts += list(_methods(thing)) if inspect.isclass(thing) else []
    return page("Python", "the public names of src/makegood/__init__.py", *parts)


def participant() -> str:
    """What services import."""
    parts = [TEXTS["intro"]["participant"]]
    for name in makegood.participant.__all__:
        thing = getattr(makegood.participant, name)
        if name in makegood.__all__:
            parts.append(f"## {name}\n\nThe same as [`makegood.{name}`](python.md#{name.lower()}).\n")
            continue
        parts += [f"## {name}\n", f"```python\n{signature(name, thing)}\n```\n", prose(thing.__doc__) + "\n"]
        parts += list(_methods(thing)) if inspect.isclass(thing) else []
    return page("Participant", "the public names of src/makegood/participant/__init__.py", *parts)


def _methods(kind: type) -> Iterator[str]:
    for name, found in vars(kind).items():
        if name.startswith("_") or not (inspect.isfunction(found) or isinstance(found, property)):
            continue
        if isinstance(found, property):
            yield f"### {kind.__name__}.{name}\n"
            yield prose(found.__doc__) + "\n"
            continue
        yield f"### {kind.__name__}.{name}()\n"
        yield f"```python\n{signature(name, found, method=True)}\n```\n"
        yield prose(found.__doc__) + "\n"


def signature(name: str, thing: Any, *, method: bool = False) -> str:
    """As it is written in a source, a line for each argument where it is long."""
    if inspect.isclass(thing) and issubclass(thing, Exception) and "__init__" not in vars(thing):
        return f"class {name}({thing.__mro__[1].__name__})"
    found = inspect.signature(thing)
    told = list(_parameters(found, skip_self=method))
    before = "async def " if inspect.iscoroutinefunction(thing) or inspect.isasyncgenfunction(thing) else "def "
    before = "class " if inspect.isclass(thing) else before
    after = "" if inspect.isclass(thing) or found.return_annotation in {inspect.Signature.empty, "None"} else (
        f" -> {_annotation(found.return_annotation)}"
    )  # fmt: skip
    line = f"{before}{name}({', '.join(told)}){after}"
    return line if len(line) <= 100 else f"{before}{name}(\n    " + ",\n    ".join(told) + f",\n){after}"


def _parameters(found: inspect.Signature, *, skip_self: bool) -> Iterator[str]:
    listed = list(found.parameters.values())
    listed = listed[1:] if skip_self and listed and listed[0].name == "self" else listed
    starred = False
    for each in listed:
        if each.kind is each.KEYWORD_ONLY and not starred:
            yield "*"
        starred = starred or each.kind in {each.KEYWORD_ONLY, each.VAR_POSITIONAL}
        mark = "*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else ""
        kind = "" if each.annotation is each.empty else f": {_annotation(each.annotation)}"
        value = "" if each.default is each.empty else (" = " if kind else "=") + _value(each.default)
        yield f"{mark}{each.name}{kind}{value}"


def _annotation(found: Any) -> str:
    return found if isinstance(found, str) else getattr(found, "__name__", str(found))


def _value(value: Any) -> str:
    if value is LIMITS or type(value).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
        return "..."
    return repr(value)


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/cli.md": cli,
    "docs/reference/configuration.md": configuration,
    "docs/reference/definition.md": definition,
    "docs/reference/errors.md": all_errors,
    "docs/reference/events.md": journal_events,
    "docs/reference/expressions.md": expressions,
    "docs/reference/http.md": http_api,
    "docs/reference/python.md": python,
    "docs/reference/participant.md": participant,
}

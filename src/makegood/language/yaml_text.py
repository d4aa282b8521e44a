"""YAML text to a JSON-like tree and its places, by events and without recursion.

What YAML has and JSON has not (anchors, aliases, tags, merge keys, several documents, keys that are no
strings) is refused here, with the remedy. Nothing here knows what a workflow is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from makegood.language.places import Place, line_column
from makegood.language.problems import GiveUp, Problems, shown
from makegood.language.scalars import NotANumber, plain_scalar
from makegood.model import Limits

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet, and the key that waits for its value."""

    value: dict[str, Any] | list[Any]
    place: Place
    key: str | None = None
    key_place: Place | None = None
    repeated: bool = False


def read_yaml(text: str, problems: Problems, limits: Limits) -> tuple[object, Place]:
    """The tree of one YAML document and where its values stand.

    Raises:
        GiveUp: The text cannot be read to its end; the problem says why.
    """
    bad = _FORBIDDEN.search(text)
    if bad:
        line, column = line_column(text, bad.start())
        problems.at("bad_character", f"The character U+{ord(bad[0]):04X} is not allowed in YAML.", line, column)
        raise GiveUp
    return _Reader(text, problems, limits).read()


class _Reader:
    def __init__(self, text: str, problems: Problems, limits: Limits) -> None:
        self._text = text
        self._problems = problems
        self._limits = limits
        self._stack: list[_Open] = []
        self._nodes = 0
        self._root: tuple[object, Place] | None = None
        self._unreadable = False

    def read(self) -> tuple[object, Place]:
        import yaml  # noqa: PLC0415 it takes longer to import than all of the model

        loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
        try:
            self._events(loader(self._text), yaml)
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        except yaml.YAMLError as error:
            self._problems.at("yaml_syntax", f"This is not YAML: {str(error).splitlines()[0]}.", 1, 1)
            raise GiveUp from None
        if self._root is None:
            self._problems.at("empty", "There is no definition in this text.", 1, 1)
            raise GiveUp
        if self._unreadable:
            raise GiveUp
        return self._root

    def _events(self, events: Any, yaml: Any) -> None:
        documents = 0
        while (event := events.get_event()) is not None:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent:
                self._opened(event, {})
            elif kind is yaml.SequenceStartEvent:
                self._opened(event, [])
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._stack.pop()
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self._at(
                        event,
                        "yaml_documents",
                        "One file holds one definition: put the second document in a file of its own.",
                    )
                    raise GiveUp
            elif kind is yaml.StreamEndEvent:
                return

    def _scalar(self, event: Any) -> None:
        self._undecorated(event)
        if self._awaits_key():
            self._key(event)
            return
        value: object = event.value
        if event.implicit[0]:
            try:
                value = plain_scalar(event.value)
            except NotANumber as error:
                self._at(event, "bad_number", f"{error}.")
        mark = event.start_mark
        style = event.style if event.style and event.style in "\"'|>" else ""
        text = value if isinstance(value, str) else None
        if text is not None and _SURROGATE.search(text):
            self._at(event, "bad_character", "This text holds half of a surrogate pair, which is no character.")
        self._put(event, value, Place(mark.line + 1, mark.column + 1, mark.index, style, text))

    def _opened(self, event: Any, value: dict[str, Any] | list[Any]) -> None:
        self._undecorated(event)
        if self._awaits_key():
            self._at(
                event,
                "bad_key",
                "A key must be a string, not a mapping or a list. "
                "A value that begins with { or [ must be quoted to be text.",
            )
            raise GiveUp
        mark = event.start_mark
        place = Place(mark.line + 1, mark.column + 1, children={} if isinstance(value, dict) else [])
        self._put(event, value, place)
        self._stack.append(_Open(value, place))
        if len(self._stack) > self._limits.json_depth:
            self._at(event, "too_deep", f"The text nests deeper than {self._limits.json_depth} mappings and lists.")
            raise GiveUp

    def _alias(self, event: Any) -> None:
        self._at(event, "yaml_alias", f"Aliases are not allowed: write out what *{event.anchor} stands for.")
        self._unreadable = True
        if self._awaits_key():
            raise GiveUp
        self._put(event, None, Place(event.start_mark.line + 1, event.start_mark.column + 1))

    def _undecorated(self, event: Any) -> None:
        if event.anchor is not None:
            self._at(
                event,
                "yaml_anchor",
                f"Anchors are not allowed: remove &{event.anchor}, and write the value out where it is used.",
            )
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._at(
                event, "yaml_tag", f"Tags are not allowed: remove {shown(tag)}. Quote a value to make it a string."
            )

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _key(self, event: Any) -> None:
        top = self._stack[-1]
        assert isinstance(top.value, dict)
        name = event.value
        if event.implicit[0]:
            self._plain_key(event, name)
        mark = event.start_mark
        top.key = name
        top.key_place = Place(mark.line + 1, mark.column + 1)
        top.repeated = name in top.value
        if top.repeated:
            assert isinstance(top.place.children, dict)
            first = top.place.children[name].key_line
            self._at(
                event, "duplicate_key", f"The key {shown(name)} is already there in line {first}. Remove one of them."
            )

    def _plain_key(self, event: Any, name: str) -> None:
        if name == "<<":
            self._at(event, "merge_key", "Merge keys (<<) are not allowed: write the keys out.")
            self._unreadable = True
            return
        try:
            is_string = isinstance(plain_scalar(name), str)
        except NotANumber:
            is_string = False
        if not is_string:
            what = f'quote it: "{name[:40]}"' if name else "there is nothing before the colon"
            self._at(event, "bad_key", f"A key must be a string; {what}.")

    def _put(self, event: Any, value: object, place: Place) -> None:
        self._nodes += 1
        if self._nodes > self._limits.definition_nodes:
            self._at(
                event,
                "too_many_nodes",
                f"The definition has more than {self._limits.definition_nodes} "
                "mappings, lists and values. Split it into child workflows.",
            )
            raise GiveUp
        if not self._stack:
            self._root = (value, place)
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            assert isinstance(top.place.children, list)
            top.value.append(value)
            top.place.children.append(place)
            return
        assert isinstance(top.place.children, dict)
        assert top.key is not None
        assert top.key_place is not None
        if not top.repeated:
            place.key_line, place.key_column = top.key_place.line, top.key_place.column
            top.value[top.key] = value
            top.place.children[top.key] = place
        top.key = None

    def _at(self, event: Any, code: str, message: str) -> None:
        self._problems.at(code, message, event.start_mark.line + 1, event.start_mark.column + 1)

    def _syntax(self, error: Any) -> None:
        mark = error.problem_mark or error.context_mark
        code, message = _explained(error, self._text)
        self._problems.at(code, message, mark.line + 1, mark.column + 1)
        raise GiveUp


def _explained(error: Any, text: str) -> tuple[str, str]:
    """What libyaml says, in words that name the remedy."""
    problem, context = error.problem or "", error.context or ""
    begun = error.context_mark
    since = f" that begins in line {begun.line + 1}, column {begun.column + 1}" if begun else ""
    if "maximum nesting depth" in problem:
        return "too_deep", "The text nests far too deep."
    if "cannot start any token" in problem:
        return "yaml_syntax", _bad_start(text, error.problem_mark)
    if "mapping values are not allowed" in problem:
        return "yaml_syntax", "A colon cannot stand here: quote the value if it holds ': ', or mend the indentation."
    if "expected key" in problem or "expected '-' indicator" in problem:
        what = "list" if "'-'" in problem else "mapping"
        return "yaml_syntax", f"The indentation or the key here does not fit the {what}{since}."
    if "expected ',' or '}'" in problem:
        return (
            "yaml_syntax",
            f"A , or }} is missing in the mapping{since}. Inside {{...}} a value with ${{...}} must be quoted.",
        )
    if "expected ',' or ']'" in problem:
        return (
            "yaml_syntax",
            f"A , or ] is missing in the list{since}. Inside [...] a value with ${{...}} must be quoted.",
        )
    if "end of stream" in problem and "quoted" in context:
        return "yaml_syntax", f"The quoted text{since} is never closed."
    if "expected ':'" in problem:
        return "yaml_syntax", f"A colon is missing after the key{since}."
    return "yaml_syntax", f"This is not YAML: {context + ': ' if context else ''}{problem}{since}."


def _bad_start(text: str, mark: Any) -> str:
    rest = text.splitlines()[mark.line][mark.column :] if mark.line < len(text.splitlines()) else ""
    if rest[:1] == "\t" or not rest.strip():
        return "Tabs cannot indent YAML: use spaces."
    return f"A value cannot begin with {rest[0]}: quote it."

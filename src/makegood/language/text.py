"""From bytes or text to a tree: size, encoding, and which of the two formats it is."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from makegood.language.json_text import read_json
from makegood.language.places import Places, line_column
from makegood.language.problems import GiveUp, Problems
from makegood.language.yaml_text import read_yaml
from makegood.model import Limits

Format = Literal["yaml", "json"]


def read_text(text: str | bytes, form: Format | None, problems: Problems, limits: Limits) -> object:
    """The tree of a definition's text; `problems.places` then knows where its values stand.

    Raises:
        GiveUp: The text cannot be read to its end; the problem says why.
    """
    decoded = _decoded(text, problems, limits)
    read = read_json if (form or _sniffed(decoded, problems.source)) == "json" else read_yaml
    tree, root = read(decoded, problems, limits)
    problems.places = Places(decoded, root)
    return tree


def read_document(text: bytes, source: str) -> object:
    """The tree of a JSON or YAML text that is no definition, under the bounds of what others write.

    Raises:
        DefinitionError: It cannot be read.
    """
    problems = Problems(source)
    with suppress(GiveUp):
        return read_text(text, None, problems, _OF_OTHERS)
    problems.refuse()
    raise AssertionError("whoever gives up has said why")


_OF_OTHERS = Limits(definition_bytes=8 * 1024 * 1024, definition_nodes=1_000_000)


def _decoded(text: str | bytes, problems: Problems, limits: Limits) -> str:
    """The text without a byte order mark and with the one line break of Unix."""
    try:
        # A character is at least a byte: what is longer than this needs no encoding to be refused.
        if len(text) > limits.definition_bytes:
            raise _TooLong
        raw = text.encode() if isinstance(text, str) else bytes(text)
        if len(raw) > limits.definition_bytes:
            raise _TooLong
        decoded = text if isinstance(text, str) else _utf8(raw, problems)
    except _TooLong:
        message = f"The definition is longer than {limits.definition_bytes} bytes. Split it into child workflows."
        problems.at("too_large", message, 1, 1)
        raise GiveUp from None
    except UnicodeEncodeError as error:
        assert isinstance(text, str)
        line, column = line_column(text, error.start)
        message = "This text holds half of a surrogate pair, which is no character."
        problems.at("bad_character", message, line, column)
        raise GiveUp from None
    return decoded.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


class _TooLong(Exception):
    pass


def _utf8(raw: bytes, problems: Problems) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.at("bad_encoding", "This text is UTF-16. Save it as UTF-8.", 1, 1)
        raise GiveUp
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        line, column = line_column(before, len(before))
        problems.at(
            "bad_encoding",
            f"The byte 0x{raw[error.start]:02X} here is not UTF-8. Save the file as UTF-8.",
            line,
            column,
        )
        raise GiveUp from None


def _sniffed(text: str, source: str) -> Format:
    """By the file's suffix; without one, JSON when it begins as only JSON would."""
    suffix = source.rpartition(".")[2].lower()
    if suffix in ("json", "yaml", "yml"):
        return "json" if suffix == "json" else "yaml"
    start = text.lstrip()
    if start.startswith("["):
        return "json"
    return "json" if start.startswith("{") and start[1:].lstrip()[:1] in ('"', "}") else "yaml"

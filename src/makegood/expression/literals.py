"""The inside of quoted literals: escapes into characters or octets."""

from __future__ import annotations

import re
from typing import Final

from makegood.expression.errors import ExpressionSyntaxError, shown

_ESCAPE: Final = re.compile(
    r"\\(?:[xX](?P<hex>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})"
    r"|(?P<octal>[0-3][0-7]{2})|(?P<simple>[abfnrtv\\?\"'`])|(?P<wrong>.?))",
    re.DOTALL,
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unescape_text(body: str, offset: int) -> str:
    """The characters that the inside of a text literal denotes.

    Args:
        body: What stands between the quotes.
        offset: Where `body` begins in the source, for error messages.

    Raises:
        ExpressionSyntaxError: An escape is unknown or names no character.
    """
    if "\\" not in body:
        return body
    text = _ESCAPE.sub(lambda found: _character(found, offset), body)
    return _joined_surrogates(text, offset)


def unescape_bytes(body: str, offset: int) -> bytes:
    """The octets that the inside of a bytes literal denotes; characters become UTF-8.

    Raises:
        ExpressionSyntaxError: An escape is unknown, or is one of code points.
    """
    parts: list[bytes] = []
    at = 0
    for found in _ESCAPE.finditer(body):
        parts.append(body[at : found.start()].encode())
        parts.append(_octet(found, offset))
        at = found.end()
    parts.append(body[at:].encode())
    return b"".join(parts)


def _character(found: re.Match[str], offset: int) -> str:
    kind = found.lastgroup or "wrong"
    text = found.group(kind)
    if kind == "simple":
        return _SIMPLE.get(text, text)
    if kind == "octal":
        return chr(int(text, 8))
    if kind in ("hex", "short", "long"):
        code = int(text, 16)
        if code <= 0x10FFFF and not (kind == "long" and 0xD800 <= code <= 0xDFFF):
            return chr(code)
        message = f"\\U{text} is no Unicode character."
        raise ExpressionSyntaxError(message, offset=offset + found.start())
    raise _unknown(found, offset)


def _octet(found: re.Match[str], offset: int) -> bytes:
    kind = found.lastgroup or "wrong"
    text = found.group(kind)
    if kind == "simple":
        return _SIMPLE.get(text, text).encode()
    if kind == "octal":
        return bytes([int(text, 8)])
    if kind == "hex":
        return bytes([int(text, 16)])
    if kind in ("short", "long"):
        message = "Bytes have no \\u and \\U escapes: write the octets with \\x."
        raise ExpressionSyntaxError(message, offset=offset + found.start())
    raise _unknown(found, offset)


def _unknown(found: re.Match[str], offset: int) -> ExpressionSyntaxError:
    return ExpressionSyntaxError(
        f"Unknown escape {shown(found.group())}. A backslash is written \\\\, or the text as r'...'.",
        offset=offset + found.start(),
    )


def _joined_surrogates(text: str, offset: int) -> str:
    """Two halves of a surrogate pair become the character they stand for; one alone is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            message = "The text holds half of a surrogate pair, which is no character."
            raise ExpressionSyntaxError(message, offset=offset) from None
    return text

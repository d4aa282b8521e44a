"""Text into tokens. Knows characters, not grammar; time is linear in the text."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from makegood.expression.errors import ExpressionSyntaxError, shown
from makegood.expression.literals import unescape_bytes, unescape_text
from makegood.expression.values import INT_MAX

SOURCE_BYTES_MAX: Final = 4096

_SPACE: Final = re.compile(r"(?:[\t\n\f\r ]|//[^\n\r]*)+")
_QUOTE: Final = re.compile(r"([bB]?)([rR]?)(\"\"\"|'''|\"|')")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BACKTICKED: Final = re.compile(r"`([A-Za-z0-9_.\-/ ]+)`")
_NUMBER: Final = re.compile(
    r"(?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<int>0x[0-9a-fA-F]+|[0-9]+)"
)
_OPERATOR: Final = re.compile(r"&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}]")
_BODIES: Final = {
    '"': re.compile(r'((?:[^"\\\r\n]|\\[^\r\n])*)"'),
    "'": re.compile(r"((?:[^'\\\r\n]|\\[^\r\n])*)'"),
    '"""': re.compile(r'((?:[^\\]|\\.)*?)"""', re.DOTALL),
    "'''": re.compile(r"((?:[^\\]|\\.)*?)'''", re.DOTALL),
}
_RAW_BODIES: Final = {
    '"': re.compile(r'([^"\r\n]*)"'),
    "'": re.compile(r"([^'\r\n]*)'"),
    '"""': re.compile(r'(.*?)"""', re.DOTALL),
    "'''": re.compile(r"(.*?)'''", re.DOTALL),
}
_INT_DIGITS_MAX: Final = 40
_REMEDIES: Final = {
    "=": "Equality is written ==.",
    "&": "Logical and is written &&.",
    "|": "Logical or is written ||.",
    "`": "A field in backticks is written .`name`, of letters, digits and _ . - / and space.",
    "$": "Inside ${...} and in conditions there is no further $.",
}


class Token(NamedTuple):
    """One word of the source.

    Attributes:
        kind: `literal`, `word`, `backticked`, `operator` or `end`.
        value: The literal's value, or the text.
        offset: Where it begins, in characters.
        end: Where it ends.
    """

    kind: str
    value: object
    offset: int
    end: int


def tokenize(source: str) -> list[Token]:
    """All tokens of the source; the last one is of kind `end`.

    Raises:
        ExpressionSyntaxError: A character or literal is not of the language, or the source
            is longer than 4 KiB.
    """
    _check_source(source)
    tokens: list[Token] = []
    at = 0
    while True:
        space = _SPACE.match(source, at)
        if space:
            at = space.end()
        if at >= len(source):
            tokens.append(Token("end", "the end", at, at))
            return tokens
        token = _next(source, at)
        tokens.append(token)
        at = token.end


def _check_source(source: str) -> None:
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        message = "The expression holds half of a surrogate pair, which is no character."
        raise ExpressionSyntaxError(message, offset=error.start) from None
    if size > SOURCE_BYTES_MAX:
        message = f"The expression is {size} bytes long; {SOURCE_BYTES_MAX} are allowed. Split it over `set` steps."
        raise ExpressionSyntaxError(message, offset=0)


def _next(source: str, at: int) -> Token:
    quote = _QUOTE.match(source, at)
    if quote:
        return _quoted(source, at, quote)
    word = _WORD.match(source, at)
    if word:
        return Token("word", word.group(), at, word.end())
    number = _NUMBER.match(source, at)
    if number:
        return _number(source, at, number)
    operator = _OPERATOR.match(source, at)
    if operator:
        return Token("operator", operator.group(), at, operator.end())
    backticked = _BACKTICKED.match(source, at)
    if backticked:
        return Token("backticked", backticked.group(1), at, backticked.end())
    remedy = _REMEDIES.get(source[at], "Text goes in quotes.")
    raise ExpressionSyntaxError(f"Unexpected character {source[at]!r}. {remedy}", offset=at)


def _quoted(source: str, at: int, quote: re.Match[str]) -> Token:
    is_bytes, is_raw, _ = quote.groups()
    body = _body(source, at, quote)
    text = body.group(1)
    value: object
    if is_bytes:
        value = text.encode() if is_raw else unescape_bytes(text, quote.end())
    else:
        value = text if is_raw else unescape_text(text, quote.end())
    return Token("literal", value, at, body.end())


def _number(source: str, at: int, number: re.Match[str]) -> Token:
    end = number.end()
    text = number.group()
    tail = source[end : end + 1]
    if tail in ("u", "U"):
        message = f"Unsigned integers such as {text}{tail} are not supported: leave out the suffix {tail!r}."
        raise ExpressionSyntaxError(message, offset=end)
    if tail.isalnum() or tail == "_":
        raise ExpressionSyntaxError(f"A name cannot begin with a digit: {shown(text + tail)}.", offset=at)
    if number.group("float") is not None:
        value = float(text)
        if value == float("inf"):
            raise ExpressionSyntaxError("The number is too large for a double.", offset=at)
        return Token("literal", value, at, end)
    if len(text.lstrip("0x")) > _INT_DIGITS_MAX:
        raise ExpressionSyntaxError("The integer does not fit into 64 bits.", offset=at)
    integer = int(text, 16 if text.startswith("0x") else 10)
    # One more than the largest is let through for the parser, which knows whether a minus precedes it.
    if integer > INT_MAX + 1:
        raise ExpressionSyntaxError("The integer does not fit into 64 bits.", offset=at)
    return Token("literal", integer, at, end)


def text_end(source: str, at: int) -> int | None:
    """Where the quoted literal that begins at `at` ends, or None if none begins there.

    Raises:
        ExpressionSyntaxError: It is never closed.
    """
    quote = _QUOTE.match(source, at)
    if quote is None:
        return None
    return _body(source, at, quote).end()


def _body(source: str, at: int, quote: re.Match[str]) -> re.Match[str]:
    _, is_raw, mark = quote.groups()
    body = (_RAW_BODIES if is_raw else _BODIES)[mark].match(source, quote.end())
    if body is None:
        raise ExpressionSyntaxError(f"The text that opens with {mark} is never closed.", offset=at)
    return body

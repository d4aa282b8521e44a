"""`makegood graph`: the picture of a definition, on stdout or in a file that is written whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from makegood.app.files import load
from makegood.cli.output import speaks_unicode, write_file
from makegood.errors import ConfigurationError, nearest
from makegood.language.graph import to_json, to_mermaid, to_svg
from makegood.model import Definition


def draw(file: str, form: str | None, output: str | None) -> None:
    """Draw a definition.

    Raises:
        DefinitionError: It has mistakes; nothing is written.
        ConfigurationError: There is no such form, or the file cannot be written.
    """
    form = form or _form_of(output)
    if form not in _FORMS:
        raise ConfigurationError(f"--format {form!r}: there is no such form.{nearest(form, _FORMS)}")
    text = _FORMS[form](load(file))
    if not text.endswith("\n"):
        text += "\n"
    if output is not None and output != "-":
        write_file(output, text)
        return
    if sys.stdout is not None and not speaks_unicode(sys.stdout):
        # SVG and Mermaid say how they are encoded: UTF-8, whatever the terminal speaks.
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        return
    print(text, end="")


def _form_of(output: str | None) -> str:
    suffix = "" if output is None else output.rpartition(".")[2].lower()
    return {"mmd": "mermaid", "mermaid": "mermaid", "json": "json"}.get(suffix, "svg")


def _json(definition: Definition) -> str:
    return json.dumps(to_json(definition), indent=2, ensure_ascii=False)


_FORMS: dict[str, Callable[[Definition], str]] = {"svg": to_svg, "mermaid": to_mermaid, "json": _json}

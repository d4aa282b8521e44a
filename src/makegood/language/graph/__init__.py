"""The picture of a definition: as JSON for programs, as Mermaid for documents, as SVG for people.

`outline` knows how steps follow one another and `words` how a step is put into words; both serve all three
forms. `blocks` and `layout` measure and place; `svg` only writes down what they placed. Deterministic:
the same definition gives the same text, on every machine.
"""

from makegood.language.graph.json_form import to_json
from makegood.language.graph.mermaid import to_mermaid
from makegood.language.graph.svg import to_svg

__all__ = ["to_json", "to_mermaid", "to_svg"]

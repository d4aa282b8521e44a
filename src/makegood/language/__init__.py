"""The language of workflow definitions: text or Python in, a checked `model.Definition` out.

Everything about how a definition is written lives here and nowhere else: YAML and JSON with positions, the
older tagged form, the checks of registration, the JSON Schema for editors, the Python builders.
"""

from makegood.language import builders
from makegood.language.check_families import Callee, callees, check_children, check_parents
from makegood.language.check_pivot import pivots
from makegood.language.check_schemas import InvalidSchema, compile_schema
from makegood.language.check_services import services_of
from makegood.language.durations import parse_duration_ms
from makegood.language.load import Loaded, load, load_canonical, load_tree
from makegood.language.schema import schema
from makegood.language.text import read_document

__all__ = [
    "Callee",
    "InvalidSchema",
    "Loaded",
    "builders",
    "callees",
    "check_children",
    "check_parents",
    "compile_schema",
    "load",
    "load_canonical",
    "load_tree",
    "parse_duration_ms",
    "pivots",
    "read_document",
    "schema",
    "services_of",
]

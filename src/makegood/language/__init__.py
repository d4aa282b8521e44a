"""The language of workflow definitions: text or Python in, a checked `model.Definition` out.

Everything about how a definition is written lives here and nowhere else: YAML and JSON with positions, the
older tagged form, the checks of registration, the JSON Schema for editors, the Python builders.
"""

from makegood.language.durations import parse_duration_ms
from makegood.language.load import Loaded, load, load_canonical, load_tree

__all__ = ["Loaded", "load", "load_canonical", "load_tree", "parse_duration_ms"]

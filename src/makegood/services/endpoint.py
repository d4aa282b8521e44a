"""One place at which a service is reached. Only what is written down of it: how it fares is the pool's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from makegood.errors import ConfigurationError

LABELS_MAX = 32
"""Labels of one endpoint."""
LABEL_MAX = 200
"""Characters of a label's name, and of its value."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An URL and what is said about it.

    Attributes:
        url: Without a slash at its end.
        labels: Names to values; `zone` is where it is.

    Raises:
        ConfigurationError: A label is no text, empty or too long, or there are too many.
    """

    url: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.labels, Mapping):
            raise ConfigurationError(f"the labels of an endpoint are a table of texts, not {self.labels!r}")
        if len(self.labels) > LABELS_MAX:
            raise ConfigurationError(f"an endpoint has {len(self.labels)} labels; at most {LABELS_MAX} are kept")
        for name, value in self.labels.items():
            if not _is_text(name) or not name or not _is_text(value):
                raise ConfigurationError(
                    f"an endpoint's label {name!r} = {value!r} is not a text of at most {LABEL_MAX} characters"
                )
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))


def _is_text(given: object) -> bool:
    return isinstance(given, str) and len(given) <= LABEL_MAX

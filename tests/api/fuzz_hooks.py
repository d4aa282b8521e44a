"""For schemathesis: no request of it may wait for longer than a moment."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    if query and "wait" in query and isinstance(query["wait"], str):
        query["wait"] = "10ms"
    return query

"""One server for all tests of a module; every test names executions of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from example_services import ExampleServices, example_services


@pytest.fixture(scope="module")
def services() -> Iterator[ExampleServices]:
    """The example services, running."""
    with example_services() as running:
        yield running

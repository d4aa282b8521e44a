"""What is particular to the store in memory."""

from __future__ import annotations

import pytest
from tests.storage.appends import first, then

from makegood.errors import Fenced
from makegood.storage import MemoryStore

pytestmark = pytest.mark.anyio


async def test_a_store_that_was_taken_over_writes_nothing_more() -> None:
    old = MemoryStore()
    await old.append([first("a")])
    new = MemoryStore(after=old)

    for ask in (old.append([then("a", 1)]), old.claim(5, limit=9), old.put_definition("trip", {}, None, 5)):
        with pytest.raises(Fenced, match="taken over"):
            await ask
    assert await new.append([then("a", 1)]) == [None]


async def test_what_was_given_cannot_be_changed_afterwards() -> None:
    store, value, tree = MemoryStore(), {"rooms": [1]}, {"steps": [1]}
    await store.append([first("a", value, search=value)])
    await store.put_definition("trip", tree, None, 5)

    value["rooms"].append(2)
    tree["steps"].append(2)

    found, defined = await store.find("a"), await store.definition("trip")
    assert found is not None
    assert defined is not None
    assert (found.start.search, defined.tree) == ({"rooms": [1]}, {"steps": [1]})
    assert (await store.load("a"))[0].events[0].input == {"rooms": [1]}  # type: ignore[union-attr]

"""Rule 26 across definitions: a workflow with a pivot is nobody's child; and a refused registration leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest
from engines import Counting

import makegood as mg
from makegood.language import load_tree

pytestmark = pytest.mark.anyio

PARENT_STEPS = [{"id": "a", "call": "s.do", "compensation": "s.undo"}]
BILLING = {"name": "billing", "steps": [{"id": "pay", "call": "s.do", "pivot": True}]}
PLAIN = {"name": "billing", "steps": [{"id": "pay", "call": "s.do", "compensation": "s.undo"}]}


def order(**keys: Any) -> dict[str, Any]:
    return {"name": "order", "steps": [*PARENT_STEPS, {"id": "bill", "workflow": "billing", **keys}]}


def load(tree: dict[str, Any]) -> Any:
    return load_tree(tree).definition


def engine_here() -> mg.Engine:
    engine = mg.Engine(":memory:")
    engine.register("s", Counting())
    return engine


async def problem(engine: mg.Engine, tree: dict[str, Any]) -> mg.Problem:
    with pytest.raises(mg.DefinitionError) as caught:
        await engine.put(load(tree))
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


async def test_a_parent_of_a_stored_workflow_with_a_pivot_is_refused() -> None:
    async with engine_here() as engine:
        await engine.put(load(BILLING))

        found = await problem(engine, order())

        assert (found.code, found.pointer) == ("pivot_in_child", "/steps/1")
        assert "Step 'bill' calls the workflow 'billing' as a child, and that has the pivot 'pay'" in found.message
        with pytest.raises(mg.NotFound):
            await engine.start("order")
        await engine.put(load(order(detached=True)))


async def test_a_pivot_in_a_workflow_that_a_stored_one_calls_is_refused() -> None:
    async with engine_here() as engine:
        await engine.put(load(order()))

        found = await problem(engine, BILLING)

        assert (found.code, found.pointer) == ("pivot_of_child", "/steps/0/pivot")
        assert "Step 'pay' is a pivot, and workflow 'order' (version 1) calls this workflow as a child" in found.message
        assert "in its step 'bill'" in found.message
        with pytest.raises(mg.NotFound):
            await engine.start("billing")
        await engine.put(load(order(detached=True)))
        await engine.put(load(BILLING))


async def test_only_the_version_that_is_called_matters() -> None:
    async with engine_here() as engine:
        await engine.put(load(PLAIN))
        await engine.put(load(order(version=1)))

        assert (await engine.put(load(BILLING))).version == 2
        assert (await problem(engine, order(version=2))).code == "pivot_in_child"


async def test_a_version_that_a_stored_parent_waits_for_may_not_have_a_pivot() -> None:
    async with engine_here() as engine:
        await engine.put(load(PLAIN))
        await engine.put(load(order(version=2)))

        assert (await problem(engine, BILLING)).code == "pivot_of_child"


async def test_a_start_with_a_definition_is_refused_too() -> None:
    async with engine_here() as engine:
        await engine.put(load(BILLING))

        with pytest.raises(mg.DefinitionError, match="has the pivot 'pay'"):
            await engine.start(load(order()))
        assert await engine.list() == []


async def test_a_child_that_has_come_to_have_a_pivot_is_not_started() -> None:
    async with engine_here() as engine:
        # An older version of the parent, which registration does not look at any more.
        await engine.put(load(order()))
        await engine.put(load(order(detached=True)))
        await engine.put(load(BILLING))

        view = await (await engine.start("order", version=1)).end()

        assert view["status"] == "compensated"
        assert (view["error"]["code"], view["error"]["outcome"], view["error"]["step"]) == (
            "child_failed", "failed", "bill",
        )  # fmt: skip
        assert "workflow 'billing' has a point of no return ('pay')" in view["error"]["message"]
        assert [each.start.workflow for each in await engine.list()] == ["order"]
        assert next(each["forward"] for each in view["steps"] if each["step"] == "bill") == "failed"


async def test_a_detached_child_may_have_a_pivot() -> None:
    async with engine_here() as engine:
        await engine.put(load(BILLING))

        view = await (await engine.start(load(order(detached=True)))).end()

        assert view["status"] == "completed"


async def test_a_definition_whose_services_are_missing_is_not_stored() -> None:
    async with engine_here() as engine:
        with pytest.raises(mg.DefinitionError, match="service 't' is not registered"):
            await engine.put(load({"name": "other", "steps": [{"id": "a", "call": "t.do"}]}))
        with pytest.raises(mg.DefinitionError, match="service 't' is not registered"):
            await engine.start(load({"name": "other", "steps": [{"id": "a", "call": "t.do"}]}))

        with pytest.raises(mg.NotFound, match="no workflow 'other'"):
            await engine.start("other")

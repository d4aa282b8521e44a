"""The test of the engine that started it all, in Python: one call, FailFast, `{"value": 42}`."""

from __future__ import annotations

import json

import pytest
from engines import EngineOn

import makegood as mg
from makegood.language import load
from makegood.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

WORKFLOW = {
    "id": "6f8b2d0e-6f0c-4b8e-9d3a-0a1b2c3d4e5f",
    "name": "test_workflow",
    "definition": {
        "steps": [
            {
                "ServiceCall": {
                    "id": "step1",
                    "service_name": "test_service",
                    "method": "process",
                    "compensation": None,
                }
            }
        ],
        "error_handling": "FailFast",
    },
}


class Service:
    def __init__(self) -> None:
        self.seen: list[object] = []

    async def process(self, input: object) -> object:  # noqa: A002 - the word of the language
        self.seen.append(input)
        return {"processed": input}


async def test_the_older_form_runs_its_own_test() -> None:
    service = Service()
    async with EngineOn(MemoryStore()) as engine:
        engine.register("test_service", service)

        execution = await engine.start(load(json.dumps(WORKFLOW), format="json").definition, {"value": 42})

        assert await execution.result() == {"processed": {"value": 42}}
        assert service.seen == [{"value": 42}]
        assert [stored.execution_id for stored in await engine.list()] == [execution.id]


async def test_the_older_form_fails_fast() -> None:
    async with EngineOn(MemoryStore()) as engine:
        engine.register("test_service", {"process": _refuse})

        execution = await engine.start(load(json.dumps(WORKFLOW), format="json").definition, {"value": 42})

        with pytest.raises(mg.ExecutionFailed) as failed:
            await execution.result()
        assert failed.value.error is not None
        assert failed.value.error["code"] == "no"


async def _refuse(input: object) -> None:  # noqa: A002
    raise mg.Rejected("no", f"not {input}")

"""What services tell of calls that they had accepted: who may, and to which execution it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from makegood.api.answers import Answer
from makegood.api.asked import Asked
from makegood.api.bodies import shaped
from makegood.api.executions import verdict_view
from makegood.api.problems import Unacceptable
from makegood.api.shapes import CallBack
from makegood.api.tokens import Role, Who
from makegood.engine.requests import request_of
from makegood.errors import InputError
from makegood.services.callbacks import Callbacks, called
from makegood.services.secrets import MissingSecret

PREFIX = "/v1/callbacks/"
SERVICE = Who("callback", Role.OPERATOR)
SUCCESSORS_MAX = 32


def service_behind(callbacks: Callbacks | None, path: str, parameters: Mapping[str, str]) -> Who:
    """The service that has this address; asked before anything else of a request is looked at.

    Raises:
        Unacceptable: The address was not given out.
    """
    try:
        if callbacks is not None and callbacks.knows(
            path.removeprefix(PREFIX), parameters.get("attempt", ""), parameters.get("token", "")
        ):
            return SERVICE
        why = "This address was not given to any service: its token is missing or wrong."
    except MissingSecret as missing:
        why = f"No address can be checked: {missing}."
    raise Unacceptable(401, "unauthorized", why, headers={"WWW-Authenticate": 'Bearer realm="makegood"'})


async def call_back(asked: Asked) -> Answer:
    """Settle the call: its body is what came of it."""
    body: CallBack = shaped(asked.body, CallBack)
    if body.error is not None and body.output is not None:
        raise InputError("a call has an output or an error, not both.", pointer="/error")
    call = called(asked.path["key"])
    if call is None:
        raise Unacceptable(404, "not_found", "This address stands for no call.")
    engine = asked.server.engine
    news = request_of(
        "callback", {**asked.body, "step": call.step, "undo": call.undo, "attempt": asked.parameters["attempt"]}
    )
    execution_id = await _advancing(asked, call.execution_id)
    verdict = await engine.request(execution_id, news, once=asked.once(asked.body))
    return Answer(202, await verdict_view(asked, execution_id, "callback", verdict))


async def _advancing(asked: Asked, execution_id: str) -> str:
    """The execution that goes on with the call: its own, or the one that a rerun made of it."""
    for _ in range(SUCCESSORS_MAX):
        view: dict[str, Any] = await asked.server.engine.describe(execution_id)
        if view.get("superseded_by") is None:
            break
        execution_id = view["superseded_by"]
    return execution_id

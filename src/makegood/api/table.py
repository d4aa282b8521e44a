"""Every route there is: who may use it, what it takes, what it answers. The description of the API follows from it.

A route without a role does not exist: `PUBLIC` is the one list of what needs no token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from makegood.api import (
    callbacks,
    executions,
    operations,
    pages,
    parameters,
    registry,
    service_shapes,
    shapes,
    workflows,
)
from makegood.api.answers import EVENTS, JSON
from makegood.api.asked import Handler
from makegood.api.bodies import DEFINITION_BODY_MAX, JSON_BODY_MAX, SMALL_BODY_MAX
from makegood.api.measures import MEDIA
from makegood.api.parameters import Parameter, choice, whole
from makegood.api.tokens import Role

PUBLIC = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/style.css"})
"""Paths that need no token: probes, and pages that say what everybody can read in the source."""
CALLBACK = "/v1/callbacks/{key}"
"""The one path whose URL is its own token: it was given to the service that was called, and to nobody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What a request carries.

    Attributes:
        shape: None: any JSON.
        media: What it may be; JSON is parsed before the handler sees it.
        most: Bytes.
        optional: Whether it may be left out.
        absent: What it then is.
    """

    shape: Any = None
    media: tuple[str, ...] = (JSON,)
    most: int = JSON_BODY_MAX
    optional: bool = False
    absent: Any = None
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route.

    Attributes:
        role: The least that is needed.
        answers: Status to shape, or to media types; problems come on top.
        problems: Statuses of problems that it can answer beside those that every route can.
        streams: Its answer takes as long as it takes, and is not measured.
    """

    method: str
    path: str
    role: Role
    handler: Handler
    doc: str
    answers: dict[int, Any]
    parameters: tuple[Parameter, ...] = ()
    body: Carried | None = None
    problems: tuple[int, ...] = ()
    streams: bool = False
    tag: str = "executions"
    headers: tuple[str, ...] = field(default=())

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method not in {"GET", "HEAD"}

    @property
    def public(self) -> bool:
        """Whether everybody may use it."""
        return self.path in PUBLIC

    @property
    def for_services(self) -> bool:
        """Whether its URL is its own token."""
        return self.path == CALLBACK


_V, _O, _A = Role.VIEWER, Role.OPERATOR, Role.ADMIN
_EXECUTION = "/v1/executions/{id}"
_WORKFLOW = "/v1/workflows/{name}"
_SERVICE = "/v1/services/{name}"
_PAGE = whole("limit", "So many at most.", least=1, most=1_000, default=100)
_FORMAT = choice("format", "How it is drawn.", tuple(workflows.GRAPHS), "json")
_PICTURE = {200: (shapes.Graph, "image/svg+xml", "text/plain")}


def _act(name: str, doc: str) -> Route:
    body = Carried(shape=shapes.Request, most=SMALL_BODY_MAX, optional=True, absent={})
    return Route(
        method="POST", path=f"{_EXECUTION}/{name}", role=_O, handler=executions.act(name), doc=doc, body=body,
        answers={202: shapes.Accepted}, problems=(404, 409, 422),
    )  # fmt: skip


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST", path="/v1/executions", role=_O, handler=executions.start,
        doc="Start an execution. The same id and content again answers the same execution.",
        body=Carried(shape=shapes.StartExecution), parameters=(parameters.WAIT,),
        answers={200: shapes.Execution, 201: shapes.Execution}, problems=(404, 409, 422),
    ),
    Route(
        method="GET", path="/v1/executions", role=_V, handler=executions.list_, doc="List executions, newest first.",
        parameters=parameters.LIST, answers={200: shapes.ExecutionPage},
    ),
    Route(
        method="GET", path=_EXECUTION, role=_V, handler=executions.show, doc="One execution, whole.",
        parameters=(parameters.WAIT,), answers={200: shapes.Execution}, problems=(404,),
    ),
    Route(
        method="GET", path=f"{_EXECUTION}/steps", role=_V, handler=executions.paged("steps"),
        doc="Its steps by pages, in order of beginning.", parameters=(_PAGE, parameters.CURSOR),
        answers={200: shapes.StepPage}, problems=(404,),
    ),
    Route(
        method="GET", path=f"{_EXECUTION}/compensations", role=_V, handler=executions.paged("compensations"),
        doc="Its compensations by pages, in undo order.", parameters=(_PAGE, parameters.CURSOR),
        answers={200: shapes.CompensationPage}, problems=(404,),
    ),
    Route(
        method="GET", path=f"{_EXECUTION}/effects", role=_V, handler=executions.paged("effects"),
        doc="Its effect ledger by pages, in order of beginning.", parameters=(_PAGE, parameters.CURSOR),
        answers={200: shapes.EffectPage}, problems=(404,),
    ),
    Route(
        method="GET", path=f"{_EXECUTION}/history", role=_V, handler=executions.history,
        doc="Its journal by pages; `limit` counts records, each with all its events.",
        parameters=(_PAGE, parameters.CURSOR), answers={200: shapes.EventPage}, problems=(404,),
    ),
    Route(
        method="GET", path=f"{_EXECUTION}/events", role=_V, handler=executions.events,
        doc="Its journal live, as server-sent events. `Last-Event-ID` goes on after one; 204 when all was told.",
        answers={200: (EVENTS,), 204: None}, problems=(404,), streams=True, headers=("Last-Event-ID",),
    ),
    _act("cancel", "Stop it, and undo what its strategy undoes."),
    _act("suspend", "Stop it for a while."),
    _act("resume", "Let a suspended one go on."),
    _act("retry", "Have the compensations that failed tried again."),
    _act("compensate", "Have a failed one undone after all."),
    Route(
        method="POST", path=f"{_EXECUTION}/resolve", role=_O, handler=executions.resolve,
        doc="Declare an undo that failed done by other means, or a step settled that waits for a person.",
        body=Carried(shape=shapes.ResolveStep), answers={202: shapes.Accepted}, problems=(404, 409, 422),
    ),
    Route(
        method="POST", path=f"{_EXECUTION}/rerun", role=_O, handler=executions.rerun,
        doc="Have a failed one go on from a step, as a new execution that takes over what was done before it.",
        body=Carried(shape=shapes.RerunExecution), answers={202: shapes.Accepted}, problems=(404, 409, 422),
    ),
    Route(
        method="POST", path=f"{_EXECUTION}/signals/{{name}}", role=_O, handler=executions.signal,
        doc="Send a signal; the body is its payload. It is kept when it comes before the step that waits for it.",
        body=Carried(optional=True), answers={202: shapes.Accepted}, problems=(404, 409, 422),
    ),
    Route(
        method="POST", path=CALLBACK, role=_O, handler=callbacks.call_back, tag="services",
        doc="What came of a call that a service had accepted: the address stood in the call's Makegood-Callback.",
        body=Carried(shape=shapes.CallBack), parameters=(parameters.ATTEMPT, parameters.TOKEN),
        answers={202: shapes.Accepted}, problems=(404, 409, 422),
    ),
    Route(
        method="GET", path="/v1/workflows", role=_V, handler=workflows.list_, tag="workflows",
        doc="The newest version of every workflow.", answers={200: shapes.WorkflowList},
    ),
    Route(
        method="PUT", path=_WORKFLOW, role=_A, handler=workflows.put, tag="workflows",
        doc="Register a definition: 201 for a new version, 200 when its content is that of the newest.",
        body=Carried(media=(workflows.YAML, JSON), most=DEFINITION_BODY_MAX, doc="A workflow definition."),
        answers={200: shapes.Registered, 201: shapes.Registered}, problems=(409, 422),
    ),
    Route(
        method="GET", path=_WORKFLOW, role=_V, handler=workflows.show, tag="workflows",
        doc="The newest version of a workflow.", answers={200: shapes.WorkflowVersion}, problems=(404,),
    ),
    Route(
        method="GET", path=f"{_WORKFLOW}/versions/{{version}}", role=_V, handler=workflows.show, tag="workflows",
        doc="One version of a workflow.", answers={200: shapes.WorkflowVersion}, problems=(404,),
    ),
    Route(
        method="GET", path=f"{_WORKFLOW}/graph", role=_V, handler=workflows.graph, tag="workflows",
        doc="The picture of its newest version.", parameters=(_FORMAT,), answers=_PICTURE, problems=(404,),
    ),
    Route(
        method="GET", path=f"{_WORKFLOW}/versions/{{version}}/graph", role=_V, handler=workflows.graph, tag="workflows",
        doc="The picture of one version.", parameters=(_FORMAT,), answers=_PICTURE, problems=(404,),
    ),
    Route(
        method="GET", path="/v1/services", role=_V, handler=registry.list_, tag="services",
        doc="All services, and how their endpoints are.", answers={200: service_shapes.ServiceList},
    ),
    Route(
        method="GET", path=_SERVICE, role=_V, handler=registry.show, tag="services",
        doc="One service.", answers={200: service_shapes.Service}, problems=(404,),
    ),
    Route(
        method="PUT", path=_SERVICE, role=_A, handler=registry.put, tag="services",
        doc="Keep a service for all replicas, or replace it. One that this process's configuration names is refused.",
        body=Carried(shape=service_shapes.PutService, most=SMALL_BODY_MAX),
        answers={200: service_shapes.Service, 201: service_shapes.Service}, problems=(409, 422),
    ),
    Route(
        method="DELETE", path=_SERVICE, role=_A, handler=registry.remove, tag="services",
        doc="Have all replicas forget a service; its open calls go on.", answers={204: None}, problems=(404, 409),
    ),
    Route(
        method="POST", path=f"{_SERVICE}/check", role=_O, handler=registry.check, tag="services",
        doc="Ask its endpoints now whether they are well; nothing is kept of it.",
        answers={200: service_shapes.ServiceCheck}, problems=(404,),
    ),
    Route(
        method="PUT", path=f"{_SERVICE}/instances/{{id}}", role=_O, handler=registry.put_instance, tag="services",
        doc="Register an endpoint for as long as its lease, or renew that.",
        body=Carried(shape=service_shapes.PutInstance, most=SMALL_BODY_MAX),
        answers={200: service_shapes.Instance, 201: service_shapes.Instance}, problems=(404, 409, 422),
    ),
    Route(
        method="DELETE", path=f"{_SERVICE}/instances/{{id}}", role=_O, handler=registry.remove_instance,
        tag="services", doc="Have an instance leave: it is called no more.", answers={204: None},
        problems=(404, 409, 422),
    ),
    Route(
        method="GET", path="/healthz", role=_V, handler=operations.healthz, tag="process",
        doc="Whether the process is there.", answers={200: shapes.Health},
    ),
    Route(
        method="GET", path="/readyz", role=_V, handler=operations.readyz, tag="process",
        doc="Whether it can take work.", answers={200: shapes.Health, 503: shapes.Health},
    ),
    Route(
        method="GET", path="/metrics", role=_V, handler=operations.metrics, tag="process",
        doc="What was measured, for Prometheus.", answers={200: (MEDIA.partition(";")[0],)},
    ),
    Route(
        method="GET", path="/openapi.json", role=_V, handler=pages.openapi, tag="process",
        doc="This description.", answers={200: (JSON,)},
    ),
    Route(
        method="GET", path="/docs", role=_V, handler=pages.docs, tag="process",
        doc="This description as a page.", answers={200: ("text/html",)},
    ),
    Route(
        method="GET", path="/docs/style.css", role=_V, handler=pages.style, tag="process",
        doc="How that page looks.", answers={200: ("text/css",)},
    ),
)  # fmt: skip
"""The most used ones first: they are looked for in this order."""

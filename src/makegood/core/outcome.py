"""What one attempt of a call came to (rule 1). A failed call is data, not an exception."""

from __future__ import annotations

from typing import Any, Literal

from makegood.model.fact import fact

Outcome = Literal["ok", "rejected", "not_sent", "unknown", "ongoing"]


@fact
class Reply:
    """The end of one request, as an adapter saw it.

    Attributes:
        outcome: `ok`: it was done. `rejected`: the service definitely said no, nothing remains.
            `not_sent`: nothing was done. `unknown`: perhaps done. `ongoing`: accepted, ask again.
        output: What the service answered, plain JSON; only with `ok`.
        code: Stable name of what went wrong, for example `call_timeout`, `http_404`, `sold_out`.
        message: For people.
        details: Anything JSON that the service said about it.
        status: The HTTP status, where there was one.
        answered: Whether any answer came back. Without one (timeout, reset, lost) the request may
            still be on its way until its deadline (rule 13).
        retry_after_ms: How long the service asked to be left alone, from now.
        poll_after_ms: With `ongoing`: when to ask again, from now; None: the service calls back.
    """

    outcome: Outcome
    output: Any = None
    code: str = ""
    message: str = ""
    details: Any = None
    status: int | None = None
    answered: bool = True
    retry_after_ms: int | None = None
    poll_after_ms: int | None = None

    @staticmethod
    def ok(output: Any = None) -> Reply:
        """The service did it."""
        return Reply("ok", output)

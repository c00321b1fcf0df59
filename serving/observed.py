"""Around every request: its id, its line in the log, its measures and its span."""

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import measures, spans
from serving.logs import REQUESTS, request_id, told_of
from serving.refusals import METHODS, refusal

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOP = 3
_QUIET = {"/healthz", "/readyz", "/health", "/metrics"}


class Observed:
    """Measures requests, and answers those that fail without a reason (500)."""

    def __init__(self, app: ASGIApp, pseudonym: Callable[[str], str]):
        self._app = app
        self._pseudonym = pseudonym

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and tell what became of it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        name = given if _ID.fullmatch(given) else uuid.uuid4().hex
        method = scope["method"] if scope["method"] in METHODS else "other"
        told: dict[str, Any] = {}
        scope.setdefault("state", {})["told"] = told
        status, started = 0, time.perf_counter()

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = name
            await send(message)

        token = request_id.set(name)
        try:
            with spans.request_span(method, headers) as span:
                try:
                    await self._app(scope, receive, named)
                except Exception as error:
                    told |= told_of(error)
                    if status:
                        raise
                    sorry = f"this failed; the server's log tells more of request {name}"
                    await refusal(500, sorry)(scope, receive, named)
                finally:
                    seconds = time.perf_counter() - started
                    route = getattr(scope.get("route"), "path_format", "unknown")
                    spans.finish(span, route, status, method)
                    self._tell(scope, method, route, status, seconds)
        finally:
            request_id.reset(token)

    def _tell(self, scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
        labels = (method, route, str(status))
        measures.requests.labels(*labels).inc()
        measures.request_seconds.labels(*labels).observe(seconds)
        caller = scope["state"].get("caller")
        line = {
            "user": self._pseudonym(caller.user) if caller and caller.user else None,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            **scope["state"]["told"],
        }
        level = logging.ERROR if status in (0, 500) else logging.INFO
        if route in _QUIET and level == logging.INFO:
            level = logging.DEBUG
        logging.getLogger(REQUESTS).log(level, "request", extra={"told": line})


def tell(request: Request, document: dict[str, Any], asked_at: float) -> None:
    """Measure an answer, and note its release and best scores for the log."""
    measures.retrieval_ms.observe((spans.now() - asked_at) * 1000)
    for step in document.get("trace", ()):
        measures.of_step(step["step"]).observe(step["ms"])
    spans.step_spans(document.get("trace", ()), asked_at)
    request.state.told |= {
        "query_id": document["query_id"],
        "release": document["release"],
        "cached": document.get("cached"),
        "results": len(document["results"]),
        "scores": [round(result["score"], 4) for result in document["results"][:_TOP]],
    }

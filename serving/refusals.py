"""What is answered instead: each refusal as one sentence that names the thing and the way out."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from pipelines.errors import (
    BadInput,
    Cleaned,
    IdentityMismatch,
    InvalidFilter,
    MediadexError,
    ModelUnavailable,
    NotReleased,
)

_STATUS: dict[type[Exception], int] = {
    BadInput: 422,
    InvalidFilter: 422,
    Cleaned: 410,
    NotReleased: 503,
    IdentityMismatch: 503,
    ModelUnavailable: 503,
}


_RETRY_S = 1
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Those that anything is answered to."""


class Refusal(BaseModel):
    """Why there is no answer, and what to do about it."""

    detail: str


_RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
_MEANING: dict[int, dict[str, Any]] = {
    400: {"description": "The request cannot be read."},
    401: {"description": "A token is needed, and none that is known was sent."},
    403: {"description": "The token lacks the scope."},
    404: {"description": "There is no such thing, or none that the caller may see."},
    410: {"description": "The release that answered is gone, so that nobody can ask it again."},
    413: {"description": "The request is too large."},
    416: {"description": "The file has no such bytes."},
    422: {"description": "The request is not understood; the detail says what would be."},
    429: {"description": "Too many requests.", "headers": _RETRY},
    503: {"description": "Nothing is released yet, or too much is asked now.", "headers": _RETRY},
    504: {"description": "The answer took too long and was given up."},
}
GUARDED = (400, 401, 403, 422, 429, 503, 504)
"""What any route behind the gate may refuse with."""


def refusals(*more: int) -> dict[int | str, dict[str, Any]]:
    """Return how a route behind the gate documents its refusals."""
    return {status: {"model": Refusal, **_MEANING[status]} for status in (*GUARDED, *more)}


def refuse(app: FastAPI) -> None:
    """Answer every error with one sentence; what was sent is never sent back."""

    @app.exception_handler(MediadexError)
    async def ours(_: Request, error: MediadexError) -> JSONResponse:
        found = (status for kind, status in _STATUS.items() if isinstance(error, kind))
        return refusal(next(found, 500), str(error))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed(request))
        return refusal(error.status_code, str(error.detail), headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        reasons = (f"{_place(each['loc'])}: {each['msg']}" for each in error.errors())
        return refusal(422, "; ".join(dict.fromkeys(reasons)))


def refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return a refusal, with when to ask again where that may help.

    Half a surrogate pair, which no answer can hold, becomes `?`.
    """
    if status == 503:
        headers = {"Retry-After": str(_RETRY_S), **(headers or {})}
    readable = detail.encode(errors="replace").decode()
    return JSONResponse({"detail": readable}, status, headers)


def _place(loc: tuple[int | str, ...]) -> str:
    """Name the field that is wrong, or else where it was sent."""
    return next((part for part in loc[1:2] if isinstance(part, str)), str(loc[0]))


def _allowed(request: Request) -> list[str]:
    """Return the methods that a path has in any of its routes; the first one knows its own only."""
    routes = request.app.routes
    known = {
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    }
    return [each for each in METHODS if each in known or (each == "HEAD" and "GET" in known)]

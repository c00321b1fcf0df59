"""Bytes on their way: bodies with a bound, answers without one, and parts of files."""

import re
from collections.abc import Collection

from fastapi import HTTPException, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_MOST_DIGITS = 18


class BoundedBody:
    """Refuse a request as soon as its body is larger than a bound (status 413).

    Forms are kept in files and may have `most` bytes where a path of `forms` reads them, other
    bodies `most_in_memory`.
    """

    def __init__(self, app: ASGIApp, most: int, most_in_memory: int, forms: Collection[str]):
        self._app = app
        self._forms = forms
        self._most = most
        self._most_in_memory = min(most, most_in_memory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting the bytes of its body."""
        headers = dict(scope.get("headers") or ())
        is_form = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        kept = is_form and scope.get("path") in self._forms
        most = self._most if kept else self._most_in_memory
        passed = 0

        async def counted() -> Message:
            nonlocal passed
            message = await receive()
            passed += len(message.get("body", b""))
            if passed > most:
                raise HTTPException(413, f"the request is larger than {most:,} bytes")
            return message

        await self._app(scope, counted, send)


class Heads:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self._app(scope, receive, send)

        async def bare(message: Message) -> None:
            await send({**message, "body": b""} if "body" in message else message)

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, bare)
        finally:
            # Who stands around this one looks for the route there.
            scope.update({**asked, "method": "HEAD"})


def file_answer(request: Request, data: bytes, media_type: str, tag: str) -> Response:
    """Answer with a file, the bytes of it that are asked for, or that it is known (304).

    `tag` stands for exactly these bytes. Raises HTTPException (416).
    """
    tag = f'"{tag}"'
    headers = {"Accept-Ranges": "bytes", "ETag": tag}
    known = re.findall(r'(?:W/)?("[^"]*"|\*)', request.headers.get("if-none-match", ""))
    if not {tag, "*"}.isdisjoint(known):
        return Response(None, 304, headers)
    # A part of what it was before would not fit to what was sent of that.
    is_same = request.headers.get("if-range", tag) == tag
    wanted = byte_range(request.headers.get("range"), len(data)) if is_same else None
    if wanted is None:
        return Response(data, 200, headers, media_type)
    first, last = wanted
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], 206, headers, media_type)


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return first and last byte that a Range header asks for, `None` for all of them.

    As RFC 9110 allows, several ranges and units other than bytes are answered with all bytes.
    Raises HTTPException (416) for a range outside of the file.
    """
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if not match or not any(match.groups()) or max(map(len, match.groups())) > _MOST_DIGITS:
        return None
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start >= size or start > end:
        raise HTTPException(416, "no such bytes", {"Content-Range": f"bytes */{size}"})
    return start, end

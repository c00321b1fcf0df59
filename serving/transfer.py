"""Bytes on their way: bodies with a bound, and the parts of files that are asked for."""

import re

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
_MOST_DIGITS = 18


class BoundedBody:
    """Refuse a request as soon as its body is larger than a bound (status 413).

    Forms are kept in files and may have `most` bytes, other bodies `most_in_memory`.
    """

    def __init__(self, app: ASGIApp, most: int, most_in_memory: int):
        self._app = app
        self._most = most
        self._most_in_memory = min(most, most_in_memory)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting the bytes of its body."""
        headers = dict(scope.get("headers") or ())
        is_form = headers.get(b"content-type", b"").startswith(b"multipart/form-data")
        most = self._most if is_form else self._most_in_memory
        passed = 0

        async def counted() -> Message:
            nonlocal passed
            message = await receive()
            passed += len(message.get("body", b""))
            if passed > most:
                raise HTTPException(413, f"the request is larger than {most:,} bytes")
            return message

        await self._app(scope, counted, send)


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

"""What comes in: bounded bodies, the forms of a query, and parts of files that are asked for."""

import base64
import binascii
import re

from fastapi import HTTPException
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.errors import BadInput
from pipelines.search.media import MOST_CHARACTERS, Kind, Upload, in_memory
from pipelines.search.query import AUTO

MOST_RESULTS = 200
MOST_FILTER = 2_000
BODY_BYTES = 128 << 20
"""Larger requests are refused."""
JSON_BYTES = 48 << 20
"""So are larger ones that are no form: their body is in memory, not in a file."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class BoundedBody:
    """Refuse a request as soon as its body is larger than a bound (status 413)."""

    def __init__(self, app: ASGIApp, most: int = BODY_BYTES):
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting the bytes of its body."""
        headers = dict(scope.get("headers") or ())
        is_form = headers.get(b"content-type", b"").startswith(b"multipart/form-data")
        most = self._most if is_form else min(self._most, JSON_BYTES)
        passed = 0

        async def counted() -> Message:
            nonlocal passed
            message = await receive()
            passed += len(message.get("body", b""))
            if passed > most:
                raise HTTPException(413, f"the request is larger than {most:,} bytes")
            return message

        await self._app(scope, counted, send)


class SearchRequest(BaseModel):
    """A query: text, media in base64, or any of them together; optionally filtered."""

    text: str | None = Field(None, max_length=MOST_CHARACTERS)
    image: str | None = Field(None, max_length=JSON_BYTES, description="JPEG, PNG …, base64.")
    audio: str | None = Field(None, max_length=JSON_BYTES, description="WAV, MP3, FLAC …, base64.")
    video: str | None = Field(None, max_length=JSON_BYTES, description="MP4, WebM …, base64.")
    k: int = Field(10, ge=1, le=MOST_RESULTS)
    where: str | None = Field(
        None, max_length=MOST_FILTER, examples=["region = 'eu' AND price < 20"]
    )
    profile: str = Field(AUTO, description="Weights of the channels: auto, default or narrative.")

    def uploads(self) -> list[Upload]:
        """Decode the media. Raises BadInput for what is no base64."""
        kinds: tuple[Kind, ...] = ("image", "audio", "video")
        given = ((kind, getattr(self, kind)) for kind in kinds)
        return [in_memory(_decoded(kind, data), kind) for kind, data in given if data]


def _decoded(kind: str, data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise BadInput(f"the {kind} is not valid base64") from error


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return first and last byte that a Range header asks for, `None` for all of them.

    As RFC 9110 allows, several ranges and units other than bytes are answered with all bytes.
    Raises HTTPException (416) for a range outside of the file.
    """
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if not match or not any(match.groups()):
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

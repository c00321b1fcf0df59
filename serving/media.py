"""Playing what was found: redacted derivatives of sound, keyframes and pictures, nothing else."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from pipelines.rights import Caller
from pipelines.search import playing
from pipelines.search.engines.protocol import Allowed
from pipelines.search.views import View
from pipelines.store import Store
from serving.gate import Asker, Guarded, in_a_slot, with_token
from serving.refusals import refusals
from serving.requests import ItemId, Name
from serving.serviced import Served, Serving
from serving.transfer import file_answer

T = TypeVar("T")

_TIMED = {"audio", "video"}
_PICTURED = {"image", "document", "video"}
_BYTES = {
    media_type: {"schema": {"type": "string", "format": "binary"}}
    for media_type in ("audio/flac", "image/jpeg")
}
KNOWN = {"description": "It is what `If-None-Match` names."}

router = APIRouter(
    prefix="/media",
    tags=["media"],
    route_class=Guarded,
    dependencies=[with_token, in_a_slot],
    responses=refusals(404),
)
At = Annotated[float | None, Query(ge=0, le=1e9, allow_inf_nan=False, description="Seconds.")]


def media_path(item_id: str, segment: str) -> str:
    """Return the path of a segment's derivative."""
    return f"/v1/media/{quote(item_id, safe='')}/{quote(segment, safe='')}"


def thumbnail_path(item_id: str, segment: str | None) -> str:
    """Return the path of a small picture of a segment, or of the whole item."""
    path = f"/v1/thumbnails/{quote(item_id, safe='')}"
    return f"{path}?segment={quote(segment, safe='')}" if segment else path


def linked(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result with the paths by which its moment is shown and played.

    Those that a kind of item never has are `None`.
    """
    item_id, segment = result["item_id"], result["segment"] or {}
    shown = thumbnail_path(item_id, segment.get("segment"))
    played = f"/v1/media/{quote(item_id, safe='')}?at={_seconds(segment.get('start_s') or 0.0)}"
    return {
        **result,
        "thumbnail": shown if result["kind"] in _PICTURED else None,
        "play": played if result["kind"] in _TIMED else None,
    }


@router.get(
    "/{item_id:path}/{segment}",
    summary="A redacted sound, keyframe or picture",
    response_class=Response,
    responses={
        200: {"content": _BYTES},
        206: {"description": "The bytes that were asked for.", "content": _BYTES},
        304: KNOWN,
        307: {"description": "With `at`: where that moment can be played."},
        **refusals(404, 416),
    },
)
async def derivative(
    request: Request, item_id: ItemId, segment: Name, asker: Asker, served: Served, at: At = None
) -> Response:
    """Send a derivative, or the bytes of it that are asked for.

    Ids that are unknown, erased or hidden are all answered alike (404). An id may hold slashes.
    """
    if at is not None:
        return await moment(f"{item_id}/{segment}", asker, served, at)
    found = await looked_up(
        served, asker, lambda store, known: playing.derivative(store, item_id, segment, known)
    )
    data = await blob(served, found.blob)
    return file_answer(request, data, found.media_type, found.blob)


@router.get(
    "/{item_id:path}",
    summary="Where a moment of an item can be played",
    response_class=Response,
    status_code=307,
    responses={307: {"description": "The sound or keyframe of that moment."}},
)
async def moment(item_id: ItemId, asker: Asker, served: Served, at: At = None) -> Response:
    """Lead to the piece of sound, or else the keyframe, that holds a moment."""
    found = await looked_up(
        served, asker, lambda store, known: playing.moment(store, item_id, at or 0.0, known)
    )
    url = media_path(item_id, found.segment)
    if found.offset_s is not None:
        url += f"#t={_seconds(found.offset_s)}"
    return RedirectResponse(url, 307)


async def looked_up(
    served: Serving, asker: Caller | None, look: Callable[[Store, Allowed], T | None]
) -> T:
    """Look something up among what a caller may see; what is not there is a 404."""

    async def ask(view: View) -> T | None:
        return await asyncio.to_thread(look, view.searcher.store, view.known)

    found: T | None = await served.service.reading(ask, asker)
    if found is None:
        raise _missing()
    return found


async def blob(served: Serving, name: str) -> bytes:
    """Return the bytes of a blob; one that is not there is a 404."""
    try:
        return await asyncio.to_thread(served.store.blobs.get, name)
    except FileNotFoundError:
        raise _missing() from None


def _missing() -> HTTPException:
    return HTTPException(404, "there is no such media")


def _seconds(value: float) -> str:
    return f"{round(value, 3):.10g}"

"""Playing what was found: redacted derivatives of sound, keyframes and pictures, nothing else."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from pipelines.search import playing
from pipelines.search.service import SearchService
from pipelines.store import Store
from serving.requests import byte_range

# What is erased must be gone from the next request on.
_KEPT_NOWHERE = {"Cache-Control": "no-store"}
_TIMED = {"audio", "video"}


def play_link(result: dict[str, Any]) -> str | None:
    """Return the path that plays a result's moment, `None` for what has no time."""
    if result["kind"] not in _TIMED:
        return None
    start_s = (result["segment"] or {}).get("start_s") or 0.0
    return f"/media/{quote(result['item_id'], safe='')}?at={_seconds(start_s)}"


def media_routes(store: Store, service: SearchService) -> APIRouter:
    """Return the routes below `/media`.

    Ids that are unknown, erased or hidden are all answered alike (404). An id may hold slashes.
    """
    router = APIRouter(prefix="/media", tags=["media"])
    At = Annotated[float | None, Query(ge=0, allow_inf_nan=False, description="Seconds.")]

    @router.get("/{item_id:path}/{segment}", summary="A redacted sound, keyframe or picture")
    async def derivative(request: Request, item_id: str, segment: str, at: At = None) -> Response:
        if at is not None:
            return await moment(f"{item_id}/{segment}", at)
        hidden = (await service.view()).hidden
        found = await _in_thread(playing.derivative, store, item_id, segment, hidden)
        data = await _in_thread(store.blobs.get, found.blob)
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{found.blob}"', **_KEPT_NOWHERE}
        wanted = byte_range(request.headers.get("range"), len(data))
        if wanted is None:
            return Response(data, 200, headers, found.media_type)
        first, last = wanted
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Response(data[first : last + 1], 206, headers, found.media_type)

    @router.get("/{item_id:path}", summary="Where a moment of an item can be played")
    async def moment(item_id: str, at: At = None) -> Response:
        hidden = (await service.view()).hidden
        found = await _in_thread(playing.moment, store, item_id, at or 0.0, hidden)
        url = f"/media/{quote(item_id, safe='')}/{quote(found.segment, safe='')}"
        if found.offset_s is not None:
            url += f"#t={_seconds(found.offset_s)}"
        return RedirectResponse(url, 307, _KEPT_NOWHERE)

    return router


async def _in_thread(work: Any, *arguments: Any) -> Any:
    """Look something up; what is not there is a 404."""
    import asyncio

    try:
        found = await asyncio.to_thread(work, *arguments)
    except FileNotFoundError:
        found = None
    if found is None:
        raise HTTPException(404, "there is no such media")
    return found


def _seconds(value: float) -> str:
    return f"{round(value, 3):.10g}"

"""Small pictures of items: redacted thumbnails, of one segment or of the first that has one."""

from fastapi import APIRouter, Request, Response

from pipelines.search.catalog import is_shown
from pipelines.search.engines.protocol import Allowed
from pipelines.store import Store
from pipelines.tables.facts import quoted
from serving.gate import Asker, Guarded, in_a_slot, with_token
from serving.media import KNOWN, blob, looked_up
from serving.refusals import refusals
from serving.requests import ItemId, Name
from serving.serviced import Served
from serving.transfer import file_answer

router = APIRouter(
    prefix="/thumbnails", tags=["media"], route_class=Guarded, dependencies=[with_token, in_a_slot]
)
_JPEG = {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
_PART = {"description": "The bytes that were asked for.", **_JPEG}


@router.get(
    "/{item_id:path}",
    summary="A small redacted picture",
    response_class=Response,
    responses={200: _JPEG, 206: _PART, 304: KNOWN, **refusals(404, 416)},
)
async def thumbnail(
    request: Request, item_id: ItemId, asker: Asker, served: Served, segment: Name | None = None
) -> Response:
    """Send the thumbnail of a segment, or else the item's first. Without any it is a 404."""
    name = await looked_up(
        served, asker, lambda store, known: _shown_by(store, item_id, segment, known)
    )
    data = await blob(served, name)
    return file_answer(request, data, "image/jpeg", name)


def _shown_by(store: Store, item_id: str, segment: str | None, allowed: Allowed) -> str | None:
    if not is_shown(store, item_id, allowed):
        return None
    rows = store.segments.rows(
        ["segment", "page", "start_s", "thumbnail"],
        f"item_id = {quoted(item_id)} AND thumbnail IS NOT NULL",
    )
    rows.sort(key=lambda row: (row["segment"] != segment, row["page"] or 0, row["start_s"] or 0.0))
    return rows[0]["thumbnail"] if rows else None

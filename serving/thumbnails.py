"""Small pictures of items: redacted thumbnails, of one segment or of the first that has one."""

from fastapi import APIRouter, Response

from pipelines.search.catalog import is_shown
from pipelines.search.engines.protocol import Allowed
from pipelines.store import Store
from pipelines.tables.facts import quoted
from serving.gate import Asker, Guarded, in_a_slot, with_token
from serving.media import looked_up
from serving.refusals import refusals
from serving.requests import ItemId, Name
from serving.serviced import Served

router = APIRouter(
    prefix="/thumbnails", tags=["media"], route_class=Guarded, dependencies=[with_token, in_a_slot]
)
_JPEG = {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/{item_id:path}",
    summary="A small redacted picture",
    response_class=Response,
    responses={200: _JPEG, **refusals(404)},
)
async def thumbnail(
    item_id: ItemId, asker: Asker, served: Served, segment: Name | None = None
) -> Response:
    """Send the thumbnail of a segment, or else the item's first. Without any it is a 404."""
    known = (await served.service.view(asker)).known
    name = await looked_up(_blob, served.store, item_id, segment, known)
    data = await looked_up(served.store.blobs.get, name)
    return Response(data, media_type="image/jpeg", headers={"ETag": f'"{name}"'})


def _blob(store: Store, item_id: str, segment: str | None, allowed: Allowed) -> str | None:
    if not is_shown(store, item_id, allowed):
        return None
    rows = store.segments.rows(
        ["segment", "page", "start_s", "thumbnail"],
        f"item_id = {quoted(item_id)} AND thumbnail IS NOT NULL",
    )
    rows.sort(key=lambda row: (row["segment"] != segment, row["page"] or 0, row["start_s"] or 0.0))
    return rows[0]["thumbnail"] if rows else None

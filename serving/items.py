"""One item: what is known of it, where it comes from, and its parts."""

from typing import Any

from fastapi import APIRouter, HTTPException

from serving.documents import Item
from serving.gate import Asker, Guarded, in_a_slot, with_token
from serving.media import media_path, thumbnail_path
from serving.refusals import refusals
from serving.requests import ItemId
from serving.serviced import Served

router = APIRouter(
    tags=["items"],
    route_class=Guarded,
    dependencies=[with_token, in_a_slot],
    responses=refusals(404),
)


@router.get("/items/{item_id:path}", summary="An item, its origins and its parts")
async def item(item_id: ItemId, asker: Asker, served: Served) -> Item:
    """Tell what is known of an item now. One that may not be seen is answered as a missing one."""
    found = await served.service.item(item_id, asker)
    if found is None:
        raise HTTPException(404, "there is no such item")
    segments = [_linked(item_id, segment) for segment in found["segments"]]
    return Item(**found | {"segments": segments})


def _linked(item_id: str, segment: dict[str, Any]) -> dict[str, Any]:
    name = segment["segment"]
    return segment | {
        "derivative": media_path(item_id, name) if segment["derivative"] else None,
        "thumbnail": thumbnail_path(item_id, name) if segment["thumbnail"] else None,
    }

"""Searching: by text, by media, by a file, and by an item that is indexed already."""

from collections.abc import Awaitable
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Query, Request

from pipelines.search.hops import Hop
from serving import spans
from serving.documents import Answer
from serving.gate import Asker, Guarded, in_a_slot, with_token
from serving.media import linked
from serving.observed import tell
from serving.refusals import refusals
from serving.requests import FileSearch, HopSearch, ItemId, MediaSearch, PagedOptions, TextSearch
from serving.serviced import Served

router = APIRouter(
    tags=["search"],
    route_class=Guarded,
    dependencies=[with_token, in_a_slot],
    responses=refusals(413),
)


@router.get("/search", summary="Search by text")
async def search_by_text(
    request: Request, form: Annotated[TextSearch, Query()], asker: Asker, served: Served
) -> Answer:
    """Find what is shown, said or written about."""
    asked = served.service.search(form.query(form.text), (), asker, facets=form.facets)
    return await _answer(request, asked)


@router.post("/search", summary="Search by text, image, sound, film, or several of them")
async def search(request: Request, form: MediaSearch, asker: Asker, served: Served) -> Answer:
    """Find what is like all that is given together."""
    query, uploads = form.query(form.text), form.uploads()
    return await _answer(request, served.service.search(query, uploads, asker, facets=form.facets))


@router.post("/search/file", summary="Search by a file: its bytes tell what it is")
async def search_by_file(
    request: Request,
    form: Annotated[FileSearch, Form(media_type="multipart/form-data")],
    asker: Asker,
    served: Served,
) -> Answer:
    """Find what is like a file, and a text if one is given."""
    query, uploads = form.query(form.text), form.uploads()
    return await _answer(request, served.service.search(query, uploads, asker, facets=form.facets))


@router.post("/hops", summary="Search from kind to kind", responses=refusals(404))
async def hops(request: Request, form: HopSearch, asker: Asker, served: Served) -> Answer:
    """Ask for items of each kind with what was found of the one before; `hops` tells how it went.

    Where nothing is as like as a hop asks for, it is a 404.
    """
    led = [Hop(hop.kind, hop.threshold) for hop in form.hops]
    asked = served.service.hops(form.query(form.text), led, asker, facets=form.facets)
    return await _answer(request, asked, "nothing is as like as these hops ask for")


@router.get("/similar/{item_id:path}", summary="More like an item", responses=refusals(404))
async def similar(
    request: Request,
    item_id: ItemId,
    options: Annotated[PagedOptions, Query()],
    asker: Asker,
    served: Served,
) -> Answer:
    """Find what is like an item in all channels that it has, without the item itself."""
    asked = served.service.similar(item_id, options.query(), asker, facets=options.facets)
    return await _answer(request, asked)


async def _answer(
    request: Request,
    asked: Awaitable[dict[str, Any] | None],
    missing: str = "there is no such item",
) -> Answer:
    asked_at = spans.now()
    document = await asked
    if document is None:
        raise HTTPException(404, missing)
    tell(request, document, asked_at)
    return Answer(**document | {"results": [linked(each) for each in document["results"]]})

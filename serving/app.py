"""The HTTP API: search by text or image, the state of the release, redacted thumbnails."""

import base64
import binascii
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from pipelines.errors import BadInput, IdentityMismatch, InvalidFilter, MediadexError, NotReleased
from pipelines.releases.log import history, require
from pipelines.search.service import SearchService, read_image
from pipelines.settings import Settings
from pipelines.store import Store

_STATUS = {BadInput: 422, InvalidFilter: 422, NotReleased: 503, IdentityMismatch: 503}
_IMAGE_BYTES = 20 << 20
_MOST = 200


class SearchRequest(BaseModel):
    """A query: text, a base64-encoded image, or both; optionally filtered."""

    text: str | None = Field(None, max_length=2000)
    image: str | None = Field(
        None, max_length=_IMAGE_BYTES * 4 // 3, description="JPEG, PNG …, base64."
    )
    k: int = Field(10, ge=1, le=_MOST)
    where: str | None = Field(None, max_length=2000, examples=["region = 'eu' AND price < 20"])


class Segment(BaseModel):
    """The part of an item that matched best: a page, a time span, a chunk of text."""

    segment: str
    page: int | None
    start_s: float | None
    end_s: float | None


class Result(BaseModel):
    """One item. The shares in `channels` sum to `score`."""

    item_id: str
    uri: str
    title: str | None
    kind: str
    score: float
    channels: dict[str, float]
    segment: Segment | None


class SearchResponse(BaseModel):
    """Ranked items of one release."""

    query_id: str
    release: str
    results: list[Result]


def create_app(settings: Settings) -> FastAPI:
    """Build the app over a home. It follows new releases by itself."""
    store = Store(settings.root)
    service = SearchService(store, settings)
    app = FastAPI(
        title="mediadex", description="Search governed media by what they show, say and are about."
    )

    @app.exception_handler(MediadexError)
    async def refuse(_: Request, error: MediadexError) -> JSONResponse:
        status = _STATUS.get(type(error), 500)
        return JSONResponse({"detail": str(error)}, status)

    @app.get("/search", summary="Search by text")
    async def search_by_text(
        text: Annotated[str, Query(max_length=2000)],
        k: Annotated[int, Query(ge=1, le=_MOST)] = 10,
        where: Annotated[str | None, Query(max_length=2000)] = None,
    ) -> SearchResponse:
        return SearchResponse(**await service.search(text, None, k, where))

    @app.post("/search", summary="Search by text, image, or both")
    async def search(request: SearchRequest) -> SearchResponse:
        image = read_image(_decode(request.image), settings) if request.image else None
        return SearchResponse(**await service.search(request.text, image, request.k, request.where))

    @app.get("/release", summary="What is being searched")
    def release() -> dict[str, Any]:
        return require(store).model_dump(mode="json")

    @app.get("/releases", summary="What was released, refused and rolled back")
    def releases() -> list[dict[str, Any]]:
        return history(store)

    @app.get("/health", summary="Whether there is a release to search")
    def health() -> dict[str, str]:
        return {"status": "ok", "release": require(store).release}

    return app


def _decode(image: str) -> bytes:
    try:
        return base64.b64decode(image, validate=True)
    except binascii.Error as error:
        raise BadInput("the image is not valid base64") from error

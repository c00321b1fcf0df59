"""The HTTP API: search by text, image, sound or film, the state of the release, what to play."""

from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Query, Request, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from pipelines.errors import BadInput, IdentityMismatch, InvalidFilter, MediadexError, NotReleased
from pipelines.releases.log import history, require
from pipelines.search import query as asked
from pipelines.search.media import MOST_CHARACTERS, Upload
from pipelines.search.query import AUTO
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from serving.media import media_routes, play_link
from serving.requests import BODY_BYTES, MOST_FILTER, MOST_RESULTS, BoundedBody, SearchRequest

_STATUS = {BadInput: 422, InvalidFilter: 422, NotReleased: 503, IdentityMismatch: 503}


class Segment(BaseModel):
    """The part of an item that matched best: a page, a time span, a chunk of text."""

    segment: str
    page: int | None
    start_s: float | None
    end_s: float | None
    link: str | None = Field(description="The item with the fragment #t=12.5,15 or #page=3.")


class Result(BaseModel):
    """One item. The shares in `channels` sum to `score`; `play` is where to hear or see it."""

    item_id: str
    uri: str
    title: str | None
    kind: str
    score: float
    channels: dict[str, float]
    segment: Segment | None
    play: str | None


class SearchResponse(BaseModel):
    """Ranked items of one release, the weights they rank by, and what could not be asked."""

    query_id: str
    release: str
    profile: str
    asked: dict[str, Any]
    degraded: list[dict[str, str]]
    results: list[Result]


def create_app(settings: Settings, most_bytes: int = BODY_BYTES) -> FastAPI:
    """Build the app over a home. It follows new releases by itself."""
    store = Store(settings.root)
    service = SearchService(store, settings, listeners=1)
    app = FastAPI(
        title="mediadex", description="Search governed media by what they show, say and are about."
    )
    app.add_middleware(BoundedBody, most=most_bytes)
    app.include_router(media_routes(store, service))

    @app.exception_handler(MediadexError)
    async def refuse(_: Request, error: MediadexError) -> JSONResponse:
        status = _STATUS.get(type(error), 500)
        return JSONResponse({"detail": str(error)}, status)

    async def answer(query: asked.Query, *uploads: Upload) -> SearchResponse:
        document = await service.search(query, uploads)
        for result in document["results"]:
            result["play"] = play_link(result)
        return SearchResponse(**document)

    @app.get("/search", summary="Search by text")
    async def search_by_text(
        text: Annotated[str, Query(max_length=MOST_CHARACTERS)],
        k: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = 10,
        where: Annotated[str | None, Query(max_length=MOST_FILTER)] = None,
        profile: str = AUTO,
    ) -> SearchResponse:
        return await answer(asked.Query(text, k=k, where=where, profile=profile))

    @app.post("/search", summary="Search by text, image, sound, film, or several of them")
    async def search(request: SearchRequest) -> SearchResponse:
        query = asked.Query(request.text, k=request.k, where=request.where, profile=request.profile)
        return await answer(query, *request.uploads())

    @app.post("/search/file", summary="Search by a file: its bytes tell what it is")
    async def search_by_file(
        file: Annotated[UploadFile, File(description="A text, image, sound or film.")],
        text: Annotated[str | None, Form(max_length=MOST_CHARACTERS)] = None,
        k: Annotated[int, Form(ge=1, le=MOST_RESULTS)] = 10,
        where: Annotated[str | None, Form(max_length=MOST_FILTER)] = None,
        profile: Annotated[str, Form()] = AUTO,
    ) -> SearchResponse:
        query = asked.Query(text, k=k, where=where, profile=profile)
        return await answer(query, Upload(file.file, file.filename or ""))

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

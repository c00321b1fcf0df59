"""Adding items: a file comes in with what is said of it, and the answer once it can be found."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from pipelines.catalog.uploads import IdInUse, Upload, Uploads
from pipelines.errors import BadInput, NotReleased
from pipelines.rights import UPLOAD, Caller
from pipelines.rights import Name as Word
from pipelines.tables.facts import quoted
from serving.access import is_loopback
from serving.gate import Asker, Guarded, with_token
from serving.indexing import Indexing
from serving.refusals import Refusal, refusals
from serving.requests import ItemId, Text
from serving.serviced import Served, Serving

_MARGIN_S = 1.0
_FOLLOWED_S = 5.0  # after which a release that was made is followed for sure
_PAUSE_S = 0.1

Id = Annotated[Word, Field(min_length=1)]
Long = Annotated[str, StringConstraints(max_length=200_000, pattern=r"^[^\x00]*$")]


class Said(BaseModel):
    """What may be said of an uploaded item; its owner is who uploads it."""

    model_config = ConfigDict(extra="forbid")

    item_id: Id | None = None
    title: Text | None = None
    description: Long | None = None
    alt: Text | None = None
    transcript: Long | None = None
    domain: Word | None = None
    region: Word | None = None
    usage_rights: Word | None = None
    consent: Word | None = None
    consent_expires: Word | None = None
    business_unit: Word | None = None
    product_family: Word | None = None
    published_at: Word | None = None
    tags: Annotated[list[Word], Field(max_length=100)] = []
    access: Annotated[list[Id], Field(max_length=100)] = []

    @classmethod
    def of_json(cls, text: str) -> dict[str, Any]:
        """Read it. Raises BadInput, which names the keys that are wrong, never what they hold."""
        try:
            said = cls.model_validate_json(text or "{}")
        except ValidationError as error:
            named = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
            known = ", ".join(sorted(named & cls.model_fields.keys()))
            reason = f"its {known} cannot be taken" if known else "it is no object of known keys"
            keys = ", ".join(cls.model_fields)
            raise BadInput(f"the metadata are not understood: {reason}; known are {keys}") from None
        return said.model_dump(exclude_defaults=True)


class Uploaded(BaseModel):
    """How an upload stands: `release` is the one that has it, `reason` why it is kept out."""

    item_id: str
    status: Literal["waiting", "indexed", "refused"]
    reason: str | None = None
    release: str | None = None
    seconds: float | None = Field(None, description="From the request to the answer.")
    see: str = Field(description="Where to ask again, or for the item.")


@dataclass(frozen=True)
class Uploading:
    """The uploads of an app; without `indexing` somebody else indexes what is uploaded."""

    uploads: Uploads
    indexing: Indexing | None
    seconds: float


def uploading(uploads: Uploads, index: Callable[[], None] | None, seconds: float) -> Uploading:
    """Return what the routes need; `index` is called in a thread, requests take `seconds`."""
    return Uploading(uploads, Indexing(index) if index else None, seconds)


class ForUploaders(Guarded):
    """A route of those who may add items; on a server without tokens, of its own machine."""

    needs = UPLOAD

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request of this route, and knows when it came in."""
        handle = super().get_route_handler()

        async def timed(request: Request) -> Response:
            request.state.began = time.monotonic()
            return await handle(request)

        return timed


async def _from_here(request: Request, asker: Asker) -> None:
    """Refuse the operator who sits elsewhere, and pages of other sites in the operator's browser.

    A browser sends forms anywhere without asking, but tells from which page they come.
    """
    if asker is not None:
        if asker.user is None:
            raise HTTPException(403, "this token names no user who would own what is uploaded")
        return
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign or request.client is None or not is_loopback(request.client.host):
        raise HTTPException(403, "without a token, uploads are taken from this machine only")


async def _uploading(request: Request) -> Uploading:
    found: Uploading = request.app.state.uploading
    return found


Given = Annotated[Uploading, Depends(_uploading)]
router = APIRouter(
    tags=["uploads"],
    route_class=ForUploaders,
    dependencies=[with_token, Depends(_from_here)],
    responses=refusals(404),
)


@router.post(
    "/items",
    summary="Add an item",
    status_code=201,
    responses={
        202: {"model": Uploaded, "description": "It is kept, and will be indexed."},
        409: {"model": Refusal, "description": "The item_id is in use."},
        **refusals(413),
    },
)
async def add(
    request: Request,
    response: Response,
    file: Annotated[UploadFile, File(description="An image, document, text, sound or film.")],
    asker: Asker,
    served: Served,
    given: Given,
    metadata: Annotated[
        str, Form(description="A JSON object.", examples=['{"title": "A red umbrella"}'])
    ] = "{}",
) -> Uploaded:
    """Keep a file, index it, and answer when it can be found; 202 where that takes too long."""
    said = Said.of_json(metadata)
    async with request.app.state.gate.slots.taken():
        upload = await _kept(given.uploads, file, said, asker)
    ends = request.state.began + given.seconds - _MARGIN_S
    found = await _indexed(upload, served, given, ends)
    if found.status == "refused":
        raise BadInput(f"it is kept out: {found.reason}")
    response.status_code = 201 if found.status == "indexed" else 202
    response.headers["Location"] = found.see
    return found.model_copy(update={"seconds": round(time.monotonic() - request.state.began, 3)})


@router.get("/uploads/{item_id:path}", summary="How an upload stands")
async def upload(item_id: ItemId, asker: Asker, served: Served, given: Given) -> Uploaded:
    """Tell who uploaded an item whether it can be found, or why not."""
    found = await asyncio.to_thread(given.uploads.get, item_id, asker)
    if found is None:
        raise HTTPException(404, "there is no such upload")
    return await _standing(found, served, given)


async def _kept(
    uploads: Uploads, file: UploadFile, said: dict[str, Any], asker: Caller | None
) -> Upload:
    try:
        return await asyncio.to_thread(uploads.add, file.file, file.filename or "", said, asker)
    except IdInUse as error:
        raise HTTPException(409, str(error)) from None


async def _indexed(upload: Upload, served: Serving, given: Uploading, ends: float) -> Uploaded:
    """Wait, until a time of the monotonic clock, for the run that indexes an upload."""
    waiting = Uploaded(item_id=upload.item_id, status="waiting", see=_path("uploads", upload))
    if given.indexing is None:
        return waiting
    run = given.indexing.next_run()
    if not (await asyncio.wait({run}, timeout=max(ends - time.monotonic(), 0)))[0]:
        return waiting
    ends = min(ends, time.monotonic() + _FOLLOWED_S)
    while (found := await _standing(upload, served, given)).status == "waiting":
        if time.monotonic() > ends:
            break
        await asyncio.sleep(_PAUSE_S)
    return found


async def _standing(upload: Upload, served: Serving, given: Uploading) -> Uploaded:
    release = await _release_of(upload, served, given.uploads)
    if release is not None:
        see = _path("items", upload)
        return Uploaded(item_id=upload.item_id, status="indexed", release=release, see=see)
    reason = await asyncio.to_thread(given.uploads.refusal, upload)
    status: Literal["refused", "waiting"] = "refused" if reason else "waiting"
    see = _path("uploads", upload)
    return Uploaded(item_id=upload.item_id, status=status, reason=reason, see=see)


async def _release_of(upload: Upload, served: Serving, uploads: Uploads) -> str | None:
    """Return the serving release, if it has what was uploaded."""
    if not await asyncio.to_thread(uploads.is_registered, upload):
        return None
    try:
        searcher = (await served.service.view()).searcher
    except NotReleased:
        return None
    if searcher.manifest.created_at < upload.at:
        return None
    await searcher.tables.open()
    where = f"item_id = {quoted(upload.item_id)}"
    for table in searcher.tables.tables.values():
        if await table.count_rows(where):
            return searcher.manifest.release
    return None


def _path(room: str, upload: Upload) -> str:
    return f"/v1/{room}/{quote(upload.item_id)}"

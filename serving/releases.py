"""What is searched, and what was released, refused and rolled back."""

import asyncio

from fastapi import APIRouter

from pipelines.releases.log import history, require
from pipelines.releases.manifest import Manifest
from serving.documents import Release
from serving.gate import ForOperators, with_token
from serving.refusals import refusals
from serving.serviced import Served

router = APIRouter(
    tags=["releases"], route_class=ForOperators, dependencies=[with_token], responses=refusals()
)


@router.get("/release", summary="What is being searched")
async def release(served: Served) -> Manifest:
    """Return the manifest of the serving release."""
    return await asyncio.to_thread(require, served.store)


@router.get("/releases", summary="What was released, refused and rolled back")
async def releases(served: Served) -> list[Release]:
    """Return the log of releases, newest first."""
    return [Release(**row) for row in await asyncio.to_thread(history, served.store)]

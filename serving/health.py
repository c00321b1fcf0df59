"""How the server does: whether it runs, whether it can answer, and its measures."""

import asyncio

from fastapi import APIRouter, Response

from pipelines.releases.log import require
from serving import measures
from serving.documents import Live, Ready
from serving.gate import ForOperators, with_token
from serving.refusals import Refusal, refusals
from serving.serviced import Served

router = APIRouter(tags=["health"])
measured = APIRouter(tags=["health"], route_class=ForOperators, dependencies=[with_token])


@router.get("/healthz", summary="Whether the process runs")
async def alive() -> Live:
    """Answer, whatever else is the matter."""
    return Live()


@router.get(
    "/readyz",
    summary="Whether there is a release, open to be searched",
    response_model_exclude_none=True,
    responses={503: {"model": Refusal, "description": "There is none that can be searched."}},
)
async def ready(served: Served) -> Ready:
    """Open the serving release where that was not done yet."""
    view = await served.service.view()
    return Ready(release=view.searcher.manifest.release, storage=served.service.stands_in)


@router.get("/health", include_in_schema=False, response_model_exclude_none=True)
async def health(served: Served) -> Ready:
    """Name the serving release, as the log tells it."""
    return Ready(release=(await asyncio.to_thread(require, served.store)).release)


@measured.get(
    "/metrics",
    summary="Measures, as Prometheus reads them",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **refusals()},
)
async def metrics(served: Served) -> Response:
    """Return the measures of all workers."""
    measures.take(served.service.stats())
    text, media_type = measures.exposition()
    return Response(text, media_type=media_type)

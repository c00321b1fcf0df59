"""Answers of the past: why they were so, whether they still are, and what people made of them."""

from typing import Any

from fastapi import APIRouter, HTTPException

from serving.documents import Explanation, Replay
from serving.gate import Asker, ForFeedback, Guarded, in_a_slot, with_token
from serving.media import linked
from serving.refusals import refusals
from serving.requests import Feedback, Name
from serving.serviced import Served

router = APIRouter(
    tags=["answers"],
    route_class=Guarded,
    dependencies=[with_token, in_a_slot],
    responses=refusals(404),
)
judging = APIRouter(
    tags=["answers"],
    route_class=ForFeedback,
    dependencies=[with_token, in_a_slot],
    responses=refusals(),
)


@router.get("/explain/{query_id}", summary="Why an answer was as it was")
async def explain(query_id: Name, asker: Asker, served: Served) -> Explanation:
    """Tell how an answer came about. Queries of others are answered as missing ones."""
    found = _known(await served.service.explain(query_id, asker))
    return Explanation(**found | {"results": [linked(each) for each in found["results"]]})


@router.post(
    "/replay/{query_id}",
    summary="Ask the same again, of the same release",
    responses=refusals(410),
)
async def replay(query_id: Name, asker: Asker, served: Served) -> Replay:
    """Answer a query of the past anew. Queries of others are answered as missing ones."""
    return Replay(**_known(await served.service.replay(query_id, asker)))


@judging.post("/feedback", status_code=204, summary="Say what a result was worth")
async def feedback(said: Feedback, asker: Asker, served: Served) -> None:
    """Note a click, or a judgement, for later learning."""
    await served.service.feedback(said.query_id, said.item_id, said.kind, asker)


def _known(document: dict[str, Any] | None) -> dict[str, Any]:
    if document is None:
        raise HTTPException(404, "there is no such query")
    return document

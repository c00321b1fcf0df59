"""Answers in sentences: to a question, with citations, and about a set of pictures."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from pipelines.answering.pictured import describe_set
from pipelines.answering.questions import answer as answer_question
from serving import measures, spans
from serving.documents import Description, WrittenAnswer
from serving.gate import Asker, Guarded, in_a_slot, with_token
from serving.media import linked
from serving.refusals import refusals
from serving.requests import PictureSet, Question
from serving.serviced import Served

router = APIRouter(
    tags=["answers"],
    route_class=Guarded,
    dependencies=[with_token, in_a_slot],
    responses=refusals(413),
)


@router.post("/answer", summary="Answer a question, with citations")
async def answer(request: Request, form: Question, asker: Asker, served: Served) -> WrittenAnswer:
    """Answer in the words of the items that the question finds; say why where none answers it.

    Every quote stands in its item's redacted text. The query can be explained and replayed.
    """
    asked_at = spans.now()
    found = await answer_question(served.service, form.query(), form.uploads(), asker)
    _tell(request, found, asked_at)
    citations = [_linked(each) for each in found["citations"]]
    request.state.told |= {"query_id": found["query_id"], "citations": len(citations)}
    return WrittenAnswer(**found | {"citations": citations})


@router.post("/describe", summary="Describe a set of pictures", responses=refusals(404))
async def describe(request: Request, form: PictureSet, asker: Asker, served: Served) -> Description:
    """Tell what pictures and items show, what is read in them, and what they have in common.

    An item that may not be seen is answered as a missing one.
    """
    asked_at = spans.now()
    told = await describe_set(served.service, form.uploads(), form.items, asker)
    if told is None:
        raise HTTPException(404, "there is no such item")
    _tell(request, told, asked_at)
    pictures = [
        each | {"thumbnail": linked(each | {"segment": None})["thumbnail"]}
        if each["item_id"]
        else each
        for each in told["pictures"]
    ]
    return Description(**told | {"pictures": pictures})


def _tell(request: Request, document: Mapping[str, Any], asked_at: float) -> None:
    """Measure finding and writing apart, and write the steps as spans."""
    finding = [step["ms"] for step in document["trace"] if step["step"] == "retrieve"]
    writing = [step["ms"] for step in document["trace"] if step["step"] != "retrieve"]
    if finding:
        measures.retrieval_ms.observe(sum(finding))
    measures.generation_ms.observe(sum(writing))
    spans.step_spans(document["trace"], asked_at)
    request.state.told |= {"release": document["release"]}


def _linked(citation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a citation with the paths by which its page or moment is shown and played."""
    is_part = citation["page"] is not None or citation["start_s"] is not None
    paths = linked({**citation, "segment": citation if is_part else None})
    return {**citation, "thumbnail": paths["thumbnail"], "play": paths["play"]}

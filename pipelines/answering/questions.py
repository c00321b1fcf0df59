"""A question and its answer: searched, read, answered from what was read, and verified."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

from pipelines.answering.citations import Citation, Sentence, numbered, verified
from pipelines.answering.extractive import Extractive, Writer
from pipelines.answering.passages import Passage, read_passages
from pipelines.answering.steps import Steps, shown_now
from pipelines.errors import BadInput
from pipelines.rights import Caller
from pipelines.search.asked.media import Upload
from pipelines.search.asked.query import Query
from pipelines.search.caches import Cache, key_of
from pipelines.search.kept import Document
from pipelines.search.searcher import Searcher
from pipelines.search.service import SearchService
from pipelines.search.views import View

MOST_ITEMS = 8
"""So many of the found items are read."""
SILENT = "what was found says nothing in words"
UNANSWERED = "nothing that was found answers the question"


async def answer(
    service: SearchService,
    query: Query,
    uploads: Sequence[Upload] = (),
    caller: Caller | None = None,
) -> Document:
    """Answer the text of a query from the best items that it finds, at most eight.

    `no_answer` tells why there is none. Steps and their times stand in `trace`; the parts of
    `retrieve` are the steps of the search. Raises BadInput for a query without text, and what a
    search raises.
    """
    if not query.typed:
        raise BadInput("ask a question in words")
    steps = Steps()

    async def ask(view: View) -> Document:
        with steps.step("retrieve") as retrieve:
            found = await service.search(query, uploads, caller)
            retrieve.parts = {each["step"]: each["ms"] for each in found["trace"]}
        if view.searcher.manifest.release != found["release"]:
            raise RuntimeError("another release came")
        with steps.step("read"):
            items = [each["item_id"] for each in found["results"][:MOST_ITEMS]]
            passages = await read_passages(view, items, query.literal or "")
        with steps.step("write"):
            sentences = await asyncio.to_thread(
                _written, query.typed or "", passages, view.searcher, service.cache
            )
        with steps.step("verify"):
            cited = {each.passage.item_id for said in sentences for each in said.citations}
            kept = verified(sentences, await shown_now(service, cited, caller))
        missing = found["no_match"] or (UNANSWERED if passages else SILENT)
        return {
            "query_id": found["query_id"],
            "release": found["release"],
            **numbered(kept),
            "no_answer": None if kept else missing,
            "degraded": found["degraded"],
            "trace": steps.as_document(),
        }

    document: Document = await service.reading(ask, caller)
    return document


def _written(
    question: str, passages: Sequence[Passage], searcher: Searcher, cache: Cache
) -> list[Sentence]:
    """Write, or take what was written before from the very same passages.

    They stand in the key as they were read just now, within the rights of who asks.
    """
    encoder = searcher.encoders.of_texts()
    writer: Writer = Extractive(encoder)
    model = encoder.identity.key if encoder else None
    key = key_of(writer.name, model, question, [asdict(each) for each in passages])
    if (known := cache.get("prompts", key)) is not None:
        return [
            Sentence(text, tuple(Citation(passages[at], quote) for at, quote in cited))
            for text, cited in json.loads(known)
        ]
    sentences = writer.write(question, passages)
    place = {passage: at for at, passage in enumerate(passages)}
    written = [
        [sentence.text, [[place[each.passage], each.quote] for each in sentence.citations]]
        for sentence in sentences
    ]
    cache.set("prompts", key, json.dumps(written).encode())
    return sentences

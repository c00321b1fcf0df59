"""A second look at the best results, by reading their passages beside the query."""

import asyncio

from pipelines.errors import ModelUnavailable
from pipelines.search.asked.expansion import reason_of
from pipelines.search.asked.query import Degraded
from pipelines.search.fusion.reranking import LEXICAL, MOST_READ, item_scores, rerank, reranker
from pipelines.search.retrieval import Retrieval

_PASSAGES = 1_000
_SHARE = 0.3


class Rerank:
    """Reorders the best by the chosen re-ranker; without words or passages all stays as it is."""

    name = "rerank"

    async def run(self, asked: Retrieval) -> None:
        """Blend in the re-ranker's scores."""
        chosen, words = asked.query.reranker, asked.worded.literal
        if chosen in (None, "none") or not words:
            return
        with asked.part("passages"):
            names = [entry.item_id for entry in asked.ranked[:MOST_READ]]
            passages = await asked.searcher.tables.texts(names, _PASSAGES)
        spec = LEXICAL if chosen == "lexical" else f"cross-encoder:{asked.settings.cross_encoder}"
        try:
            with asked.part(chosen):
                scores = await asyncio.to_thread(
                    lambda: item_scores(reranker(spec), words, passages)
                )
        except ModelUnavailable as error:
            asked.encoded.degraded.append(Degraded("input", "reranker", reason_of(error)))
            return
        asked.ranked = rerank(asked.ranked, scores, _SHARE)

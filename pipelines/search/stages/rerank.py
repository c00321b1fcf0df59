"""A second look at the best results, by reading their passages beside the query."""

import asyncio

from pipelines.errors import ModelUnavailable
from pipelines.search.asked.expansion import reason_of
from pipelines.search.asked.query import Degraded
from pipelines.search.fusion.reranking import LEXICAL, item_scores, rerank, reranker
from pipelines.search.retrieval import Retrieval

_BEST = 50  # items that are read
_PASSAGES = 1_000
_SHARE = 0.3


class Rerank:
    """Reorders the best by the chosen re-ranker; without words or passages all stays as it is."""

    name = "rerank"

    async def run(self, asked: Retrieval) -> None:
        """Blend in the re-ranker's scores."""
        chosen, words = asked.query.reranker, asked.query.literal
        if chosen in (None, "none") or not words:
            return
        depth = max(_BEST, asked.wanted)
        best = list(asked.ranked[:depth])
        with asked.part("passages"):
            names = [entry.item_id for entry in best]
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
        # The others' scores do not compare with these any more.
        asked.ranked = rerank(best, scores, _SHARE)

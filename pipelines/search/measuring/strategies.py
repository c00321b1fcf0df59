"""Four ways to bring channels together, side by side: early, late, cross and hybrid fusion."""

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.search.asked.query import Query, Reranker
from pipelines.search.engines.protocol import Allowed
from pipelines.search.fusion.profiles import BM25, DEFAULT
from pipelines.search.fusion.scores import ids_of
from pipelines.search.measuring.evaluation import DEPTH, Judged, ask
from pipelines.search.measuring.metrics import mean_metrics, ranking_metrics
from pipelines.search.retrieval import Retrieval
from pipelines.search.searcher import Searcher
from pipelines.search.stages import ASKING

_WORDS = ASKING[:-1]  # what all strategies share: decoding files, and guessing words for them


class Strategy(NamedTuple):
    """One way to ask: what it makes of a query."""

    name: str
    of: Callable[[Query], Query]


def best_alone(judged: Sequence[Judged]) -> str:
    """Return the channel that is best alone in nDCG@10; a query that it was not asked counts 0."""
    totals = dict.fromkeys((*CHANNELS, BM25), 0.0)
    for each in judged:
        for name, ranked in each.rankings():
            totals[name] += ranking_metrics(ranked, each.relevant)["ndcg@10"]
    return max(totals, key=lambda name: totals[name])


def fusion_strategies(best: str, reranker: Reranker) -> list[Strategy]:
    """Return the channel that is best alone and the four strategies.

    *early*: one vector, the mean of all that is asked with, in every vector channel. *late*: the
    weighted sum of calibrated channels. *cross*: the candidates of the best channel, re-ranked by
    what reads query and passage together. *hybrid*: late, then re-ranked.
    """

    def asking(**how: Any) -> Callable[[Query], Query]:
        return lambda query: replace(query, **{"profile": DEFAULT, "reranker": "none", **how})

    return [
        Strategy(f"{best} alone", asking(channels=(best,))),
        Strategy("early", asking(profile="mean_vector", channels=tuple(CHANNELS))),
        Strategy("late", asking()),
        Strategy("cross", asking(channels=(best,), reranker=reranker)),
        Strategy("hybrid", asking(reranker=reranker)),
    ]


async def strategies(
    searcher: Searcher, allowed: Allowed, judged: Sequence[Judged]
) -> list[dict[str, Any]]:
    """Compare the strategies on queries that were judged, as `compare` does.

    The re-ranker is the lexical one, or the cross-encoder where one is set. Files are decoded, and
    words guessed for them, once for all; neither is in the times.
    """
    reranker: Reranker = "cross_encoder" if searcher.settings.cross_encoder else "lexical"
    queries = []
    for each in judged:
        asked = await ask(searcher, allowed, each.labelled, Query(), stages=_WORDS)
        queries.append((asked.query, each.relevant))

    async def answer(query: Query) -> Retrieval:
        return await searcher.answer(query, allowed)

    return await compare(answer, fusion_strategies(best_alone(judged), reranker), queries)


async def compare(
    ask: Callable[[Query], Awaitable[Retrieval]],
    strategies: Sequence[Strategy],
    queries: Sequence[tuple[Query, Mapping[str, float]]],
) -> list[dict[str, Any]]:
    """Compare ways to ask the same queries: metrics, median ms, and the ms added to the first.

    Each query is asked in all ways in turn, another one first each time, so that what slows the
    machine slows them alike. One that a strategy cannot ask finds nothing, is counted as
    `unanswered`, and has no time. The grades of a query are by item id.
    """
    scores: list[list[dict[str, float]]] = [[] for _ in strategies]
    took: list[list[float | None]] = [[] for _ in strategies]
    for turn, (query, relevant) in enumerate(queries):
        for place in range(len(strategies)):
            place = (place + turn) % len(strategies)
            started, ids = time.perf_counter(), list[str]()
            try:
                ids = ids_of((await ask(strategies[place].of(query))).ranked)[:DEPTH]
                took[place].append((time.perf_counter() - started) * 1000)
            except BadInput:
                took[place].append(None)
            scores[place].append(ranking_metrics(ids, relevant))
    rows = []
    for strategy, scored, mine in zip(strategies, scores, took, strict=True):
        means = mean_metrics(scored)
        known = [ms for ms in mine if ms is not None]
        added = [
            ms - base
            for ms, base in zip(mine, took[0], strict=True)
            if ms is not None and base is not None
        ]
        rows.append(
            {
                "strategy": strategy.name,
                **{name: means[name] for name in ("ndcg@10", "recall@10", "mrr")},
                "unanswered": len(mine) - len(known),
                "p50_ms": statistics.median(known) if known else None,
                "added_ms": statistics.median(added) if added else None,
            }
        )
    return rows

"""Ranked-retrieval metrics of one query, and their mean over queries.

Ranks count from 1; an item is relevant if its grade is above 0; every metric lies in [0, 1].
The functions of one metric expect what `ranking_metrics` checks.
"""

import math
from collections.abc import Iterable, Mapping, Sequence


def ranking_metrics(ranked: Sequence[str], relevant: Mapping[str, float]) -> dict[str, float]:
    """Score one query's answer, best first, against the grades (>= 0) of its items.

    Whether anything relevant was found (`hit@k`) and how much of it (`recall@k`) are named apart.

    Raises:
        ValueError: `ranked` repeats an item, a grade is negative or not finite, or none is above 0.
    """
    if len(set(ranked)) < len(ranked):
        raise ValueError("the ranking repeats an item")
    if not all(math.isfinite(grade) and grade >= 0 for grade in relevant.values()):
        raise ValueError("grades must be finite and not negative")
    if not _found(relevant, relevant):
        raise ValueError("the query has no relevant item")
    return {
        "hit@10": hit_at(ranked, relevant, 10),
        "recall@10": recall_at(ranked, relevant, 10),
        "recall@100": recall_at(ranked, relevant, 100),
        "precision@1": precision_at(ranked, relevant, 1),
        "mrr": reciprocal_rank(ranked, relevant),
        "map": average_precision(ranked, relevant),
        "ndcg@5": ndcg_at(ranked, relevant, 5),
        "ndcg@10": ndcg_at(ranked, relevant, 10),
    }


def mean_metrics(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average each metric over queries.

    Raises:
        ValueError: there are no rows, or they do not have the same metrics.
    """
    if not rows:
        raise ValueError("there are no queries to average over")
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ValueError("the queries do not have the same metrics")
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}


def hit_at(ranked: Sequence[str], relevant: Mapping[str, float], k: int) -> float:
    """Return 1 if any of the first k is relevant, else 0."""
    return float(_found(ranked[:k], relevant) > 0)


def recall_at(ranked: Sequence[str], relevant: Mapping[str, float], k: int) -> float:
    """Return the fraction of the relevant items that are among the first k."""
    return _found(ranked[:k], relevant) / _found(relevant, relevant)


def precision_at(ranked: Sequence[str], relevant: Mapping[str, float], k: int) -> float:
    """Return the fraction of k that is relevant; ranks left empty count against it."""
    return _found(ranked[:k], relevant) / k


def reciprocal_rank(ranked: Sequence[str], relevant: Mapping[str, float]) -> float:
    """Return 1 / rank of the first relevant item, 0 if there is none."""
    ranks = (rank for rank, item in enumerate(ranked, 1) if relevant.get(item, 0) > 0)
    return 1 / next(ranks, math.inf)


def average_precision(ranked: Sequence[str], relevant: Mapping[str, float]) -> float:
    """Return the precision at each relevant item's rank, summed, over the number of relevant items.

    Manning, Raghavan & Schütze, Introduction to Information Retrieval, eq. 8.8: a relevant item
    that is not in the ranking adds 0.
    """
    ranks = [rank for rank, item in enumerate(ranked, 1) if relevant.get(item, 0) > 0]
    precisions = math.fsum(found / rank for found, rank in enumerate(ranks, 1))
    return precisions / _found(relevant, relevant)


def ndcg_at(ranked: Sequence[str], relevant: Mapping[str, float], k: int) -> float:
    """Return the discounted gain of the first k over that of the best ranking of all items.

    The gain is (2^grade - 1) / log2(rank + 1): Burges et al., Learning to Rank using Gradient
    Descent, ICML 2005.
    """
    best = sorted(relevant.values(), reverse=True)
    return _gain([relevant.get(item, 0) for item in ranked[:k]]) / _gain(best[:k])


def _gain(grades: Sequence[float]) -> float:
    return math.fsum((2**grade - 1) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _found(items: Iterable[str], relevant: Mapping[str, float]) -> int:
    return sum(relevant.get(item, 0) > 0 for item in items)

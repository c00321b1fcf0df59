"""Another order for the same results: like things apart, so that the first ones show more."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.search.fusion.scores import Scored

PLAIN = 1.0
"""The trade-off that leaves the order as it is."""


def diversify(
    ranked: Sequence[Scored],
    vectors: Mapping[str, np.ndarray],
    trade_off: float,
    k: int | None = None,
) -> list[Scored]:
    """Order results by maximal marginal relevance (Carbonell and Goldstein 1998).

    One by one, the next is that of the highest lambda * relevance - (1 - lambda) * similarity to
    what is chosen already. `trade_off` is lambda, 1 for relevance alone. Relevance is the score as
    a share of the best one, so that it compares with similarity, the highest cosine of `vectors`
    (item to unit vector, of any one channel); an item without a vector is like nothing. Only the
    order changes, and only of the first `k`: the others follow as they were.
    """
    count = len(ranked) if k is None else min(k, len(ranked))
    if trade_off >= PLAIN or count < 2 or ranked[0].score <= 0:
        return list(ranked)
    relevance = np.array([entry.score for entry in ranked]) / ranked[0].score
    space = _matrix(ranked, vectors)
    nearest = np.zeros(len(ranked))
    left = np.ones(len(ranked), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < count:
        marginal = trade_off * relevance - (1 - trade_off) * nearest
        best = int(np.where(left, marginal, -np.inf).argmax())
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, space @ space[best])
    return [ranked[position] for position in (*chosen, *np.flatnonzero(left))]


def _matrix(ranked: Sequence[Scored], vectors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return float32 (len(ranked), dimension), zero where an item has no vector."""
    width = max((vector.shape[-1] for vector in vectors.values()), default=1)
    nothing = np.zeros(width, np.float32)
    return np.stack([vectors.get(entry.item_id, nothing) for entry in ranked])

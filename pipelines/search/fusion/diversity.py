"""Another order for the same results: like things apart, so that the first ones show more."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.search.fusion.scores import Scored

PLAIN = 1.0
"""The trade-off that leaves the order as it is."""

RELEVANT = 0.1
"""Of the best score, what a result needs so as to be lifted: what is unlike all is mostly wrong."""


def diversify(
    ranked: Sequence[Scored], spaces: Sequence[Mapping[str, np.ndarray]], trade_off: float
) -> list[Scored]:
    """Order results by maximal marginal relevance (Carbonell and Goldstein 1998).

    One by one, the next is that of the highest lambda * relevance - (1 - lambda) * similarity to
    what is chosen already. `trade_off` is lambda, 1 for relevance alone. Relevance is the score as
    a share of the best one, so that it compares with similarity, the highest cosine of two items in
    any of the `spaces` (item to unit vector, one for each channel); items that share none are not
    alike. Only the order changes, and only of results that are `RELEVANT`: the others follow as
    they were.
    """
    if trade_off >= PLAIN or len(ranked) < 2 or ranked[0].score <= 0:
        return list(ranked)
    relevance = np.array([entry.score for entry in ranked]) / ranked[0].score
    alike = _alike([entry.item_id for entry in ranked], spaces)
    left = relevance >= RELEVANT
    nearest = np.zeros(len(ranked))
    chosen: list[int] = []
    while left.any():
        marginal = trade_off * relevance - (1 - trade_off) * nearest
        best = int(np.where(left, marginal, -np.inf).argmax())
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, alike[best])
    others = np.flatnonzero(relevance < RELEVANT)
    return [ranked[position] for position in (*chosen, *others)]


def _alike(item_ids: Sequence[str], spaces: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Return how like each other items are, (n, n), 0 where nothing tells."""
    alike = np.zeros((len(item_ids), len(item_ids)))
    for vectors in spaces:
        there = [place for place, each in enumerate(item_ids) if each in vectors]
        if there:
            space = np.stack([vectors[item_ids[place]] for place in there])
            both = np.ix_(there, there)
            alike[both] = np.maximum(alike[both], space @ space.T)
    return alike

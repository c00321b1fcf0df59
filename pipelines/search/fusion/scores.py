"""From one similarity a channel to one score an item: a sum that says where it comes from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from pipelines.search.fusion.evidence import Evidence
from pipelines.search.fusion.profiles import BM25, DEFAULT, PROFILES, Profile, Rule

RECENCY = "recency"
FLOOR = 0.6
"""Of the weight of all channels that were asked, what an item needs so as to be judged in full."""

_RANKS_BELOW = 60  # k of reciprocal rank fusion, as published
_DECAY = 0.03  # a day


@dataclass(frozen=True)
class Scored:
    """One item's fused score; `channels` holds each channel's share and sums to `score`.

    Beside channels it may name further parts, such as `recency`.
    """

    item_id: str
    score: float
    channels: Mapping[str, float]

    @classmethod
    def of(cls, item_id: str, parts: Mapping[str, float]) -> "Scored":
        """Add up the parts of a score."""
        return cls(item_id, sum(parts.values()), parts)


class Ranking(Sequence[Scored]):
    """Items in the order of their scores; each is spelled out when it is looked at.

    `ids` and `scores` (n,) are in that order. Of many, only the best `most` are ranked.
    """

    def __init__(
        self, ids: Sequence[str], names: Sequence[str], parts: np.ndarray, most: int | None = None
    ):
        scores = np.nansum(parts, axis=1)
        order = _best_first(ids, scores, most)
        self.ids = [*map(ids.__getitem__, order.tolist())]
        self.scores = scores[order]
        self._names = names
        self._parts = parts[order]

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Scored: ...
    @overload
    def __getitem__(self, place: slice) -> list[Scored]: ...
    def __getitem__(self, place: int | slice) -> Scored | list[Scored]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        named = zip(self._names, self._parts[place].tolist(), strict=True)
        return Scored.of(self.ids[place], {name: part for name, part in named if part == part})


def ids_of(ranked: Sequence[Scored]) -> list[str]:
    """Return the items of a ranking in their order."""
    return ranked.ids if isinstance(ranked, Ranking) else [entry.item_id for entry in ranked]


def scores_of(ranked: Sequence[Scored]) -> list[float]:
    """Return the scores of a ranking in its order."""
    if isinstance(ranked, Ranking):
        return ranked.scores.tolist()
    return [entry.score for entry in ranked]


def fuse(
    evidence: Mapping[str, Mapping[str, float]],
    shares: Mapping[str, float],
    profile: Profile = PROFILES[DEFAULT],
    days: Mapping[str, float] | None = None,
    asked: str = "text",
    kinds: Mapping[str, str] | None = None,
    most: int | None = None,
) -> Ranking:
    """Fuse evidence (item to channel to similarity, on the profile's scale), best first.

    `shares` are the profile's weights, as far as they fit the query; by the rule `mean`, an item of
    whose channels none has a weight is left out. `days` tells the age of items, for profiles with
    recency: one whose age is not known has none. `asked` is what is asked with (text, image, audio,
    video) and `kinds` the kind of each item, for profiles that scale by them. Ties are broken by
    item id. With `most`, only so many are ranked.
    """
    found = Evidence.of(evidence)
    if not len(found):
        return Ranking([], [], np.zeros((0, 0)))
    names = [*found.channels]
    weights = np.array([shares.get(name, np.nan) for name in names])
    parts = _RULES[profile.rule](found, weights)
    ids = found.ids
    if profile.rule == "mean" and not (kept := ~np.isnan(parts).all(axis=1)).all():
        ids, parts = [item_id for item_id, keep in zip(ids, kept, strict=True) if keep], parts[kept]
    if profile.modalities:
        scales = profile.modalities.get(asked, {})
        parts *= np.array([[scales.get((kinds or {}).get(each, ""), 1.0)] for each in ids])
    if profile.recency:
        ages = [(days or {}).get(item_id) for item_id in ids]
        fresh = [recency(age) if age is not None else 0.0 for age in ages]
        parts = np.column_stack([parts, profile.recency * np.array(fresh)])
        names.append(RECENCY)
    return Ranking(ids, names, parts, most)


def _best_first(ids: Sequence[str], scores: np.ndarray, most: int | None) -> np.ndarray:
    """Return places by score, and by id where scores are equal, which is rare."""
    places = np.arange(len(scores))
    if most is not None and most < len(scores):
        places = np.flatnonzero(scores >= -np.partition(-scores, most - 1)[most - 1])
    order = places[np.argsort(-scores[places], kind="stable")]
    ranked = scores[order]
    tied = np.flatnonzero(ranked[1:] == ranked[:-1])
    for run in np.split(tied, np.flatnonzero(np.diff(tied) > 1) + 1) if len(tied) else ():
        equal = slice(run[0], run[-1] + 2)
        order[equal] = sorted(order[equal].tolist(), key=ids.__getitem__)
    return order[:most]


def in_order(scored: Sequence[Scored]) -> list[Scored]:
    """Sort by score, best first, and by item id where scores are equal."""
    return sorted(scored, key=lambda entry: (-entry.score, entry.item_id))


def recency(days: float) -> float:
    """Return how recent something of that age is: 1 for today and the future, 0.25 at 100 days."""
    return 1 / (1 + _DECAY * max(days, 0.0))


def _mean(found: Evidence, weights: np.ndarray) -> np.ndarray:
    """Weigh what an item has. One light channel alone does not speak for it as all of them do.

    The floor is that of all channels of the evidence, also of those that no candidate has: else a
    score would depend on how many others are looked at.
    """
    shares = np.nan_to_num(weights)
    there = ~np.isnan(found.matrix)
    total, least = there @ shares, FLOOR * shares.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = found.matrix * shares / np.maximum(total, least)[:, None]
    parts[total <= 0] = np.nan
    return parts


def _sum(found: Evidence, weights: np.ndarray) -> np.ndarray:
    return found.matrix * weights


def _best(found: Evidence, weights: np.ndarray) -> np.ndarray:
    parts = found.matrix * weights
    dense = np.array([name != BM25 for name in found.channels])
    # Of equal ones the last by name.
    order = sorted(range(len(dense)), key=lambda place: found.channels[place], reverse=True)
    shown = np.where(dense, np.nan_to_num(parts, nan=-np.inf), -np.inf)[:, order]
    best = np.array(order)[shown.argmax(axis=1)]
    others = dense & (np.arange(len(dense)) != best[:, None])
    return np.where(others, np.nan, parts)


def _reciprocal(found: Evidence, weights: np.ndarray) -> np.ndarray:
    """Cormack, Clarke and Buettcher 2009, with a weight for each channel."""
    return weights / (_RANKS_BELOW + _ranks(found))


def _ranks(found: Evidence) -> np.ndarray:
    """Rank the items within each channel, from 1; equal similarities share the better rank.

    A passage without any word of the query is not ranked.
    """
    ranks = np.full_like(found.matrix, np.nan)
    for column, name in enumerate(found.channels):
        values = found.matrix[:, column]
        ranked = np.flatnonzero(values > 0 if name == BM25 else ~np.isnan(values))
        better = np.sort(-values[ranked])
        ranks[ranked, column] = 1 + np.searchsorted(better, -values[ranked], side="left")
    return ranks


_RULES: Mapping[Rule, Callable[[Evidence, np.ndarray], np.ndarray]] = {
    "mean": _mean,
    "sum": _sum,
    "best": _best,
    "ranks": _reciprocal,
}

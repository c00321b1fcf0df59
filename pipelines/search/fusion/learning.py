"""Scales and weights of channels, learned from labelled queries, kept only where they are better.

Half of the queries, chosen by a hash of what they ask, are learned from; the others decide.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipelines.releases.manifest import Learned
from pipelines.search.fusion.calibration import calibration_error, fit_platt, platt, scale_of
from pipelines.search.fusion.evidence import Evidence
from pipelines.search.fusion.profiles import DEFAULT, weights
from pipelines.search.fusion.scores import FLOOR

FEWEST = 20
"""Queries that each half needs at least."""

_FACTORS = (0.0, 0.25, 0.5, 0.8, 1.25, 2.0, 4.0)
_ROUNDS = 5
_BETTER = 1e-3  # in nDCG@10, for each step
_TINY = 1e-12
_DEPTH = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, _DEPTH + 2))


class Example(Protocol):
    """What is read of a labelled query that was asked; as in `measuring.evaluation.Judged`."""

    @property
    def name(self) -> str:
        """What it asks."""
        ...

    @property
    def profile(self) -> str:
        """The profile by which it was answered."""
        ...

    @property
    def relevant(self) -> Mapping[str, float]:
        """The grades of items."""
        ...

    @property
    def raw(self) -> Mapping[str, Mapping[str, float]]:
        """Similarities by channel and item, BM25's as `calibration.matched`."""
        ...

    @property
    def evidence(self) -> Mapping[str, Mapping[str, float]]:
        """Values on the fixed scales by item and channel."""
        ...

    @property
    def mediums(self) -> Mapping[str, str]:
        """What each channel was asked with."""
        ...

    @property
    def trust(self) -> Mapping[str, float]:
        """What the query makes of each channel's weight, as a factor."""
        ...


_Counted = tuple[Example, float]


@dataclass(frozen=True)
class Lesson:
    """What was learned, `None` where the old stays; how both did; and how scales fit.

    `scores` has a row for each half and choice, `scales` the expected calibration error of each
    channel's fixed and learned scale on the held-out half; `reason` says why it is used or not.
    """

    learned: Learned | None
    scores: Sequence[Mapping[str, Any]]
    scales: Sequence[Mapping[str, Any]]
    reason: str

    def as_document(self) -> dict[str, Any]:
        """Write it for `--json`."""
        learned = self.learned.model_dump() if self.learned else None
        return {
            "used": learned is not None,
            "reason": self.reason,
            "scores": [*self.scores],
            "scales": [*self.scales],
            "learned": learned,
        }


def held_out(name: str) -> bool:
    """Tell whether a query is kept from learning, by a hash of what it asks: about half are."""
    return hashlib.sha256(" ".join(name.lower().split()).encode()).digest()[0] % 2 == 1


def learn(
    examples: Sequence[Example],
    worths: Sequence[float] = (),
    old: Learned | None = None,
    *,
    keeps_recall: bool = True,
) -> Lesson:
    """Learn from one half of the examples of the default profile, and compare on the other.

    `worths` (n,) tell what each example counts for, all alike where there are none; `old` is what
    was learned before, the defaults where there is nothing. Examples hold the default scales.

    Platt's curves are fitted to each channel's similarities, then weights by coordinate ascent on
    nDCG@10 (Metzler & Croft, Linear feature-based models for information retrieval, 2007), starting
    at the defaults; weights alone, on the fixed scales, are the other choice. What does better on
    the half that was learned from is used if it has the higher nDCG@10 on the other half too and,
    where it `keeps_recall`, no lower recall@10.
    """
    counted = worths or [1.0] * len(examples)
    usable = [
        (each, worth)
        for each, worth in zip(examples, counted, strict=True)
        if each.profile == DEFAULT
    ]
    seen = [pair for pair in usable if not held_out(pair[0].name)]
    other = [pair for pair in usable if held_out(pair[0].name)]
    if min(len(seen), len(other)) < FEWEST:
        told = f"{len(seen)} and {len(other)} queries are too few to learn from; {FEWEST} are"
        return Lesson(None, [], [], f"{told} needed in each half")
    curves = fit_curves([each for each, _ in seen])
    choices = [_weighed(seen, {}), _weighed(seen, curves)]
    best = max(choices, key=lambda choice: _score(seen, choice)["ndcg@10"])
    usual = Learned(
        weights=weights(learned=old.weights if old else None), platt=old.platt if old else {}
    )
    called = "what was learned before" if old else "defaults"
    scores: list[dict[str, Any]] = [
        {"half": half, "choice": name, "queries": len(group), **_score(group, choice)}
        for half, group in (("learned from", seen), ("held out", other))
        for name, choice in ((called, usual), ("learned", best))
    ]
    before, after = scores[2], scores[3]
    better = after["ndcg@10"] > before["ndcg@10"] and (
        not keeps_recall or after["recall@10"] >= before["recall@10"]
    )
    verb = "better" if better else "not better"
    reason = (
        f"{verb} than {'' if old else 'the '}{called} on {len(other)} held-out queries: nDCG@10 "
        f"{after['ndcg@10']:.3f} to {before['ndcg@10']:.3f}, recall@10 "
        f"{after['recall@10']:.3f} to {before['recall@10']:.3f}"
    )
    scales = _scales([each for each, _ in other], curves)
    return Lesson(best if better else None, scores, scales, reason)


def fit_curves(examples: Sequence[Example]) -> dict[str, tuple[float, float]]:
    """Fit Platt's curve to each scale (see `calibration.scale_of`) that found something relevant.

    A curve that falls, where the more similar is the less relevant, is left out.
    """
    curves = {}
    for scale, (values, relevant) in _pairs(examples).items():
        if any(relevant) and not all(relevant):
            curve = fit_platt(values, relevant)
            if curve[0] < 0:
                curves[scale] = curve
    return curves


def _pairs(examples: Sequence[Example]) -> dict[str, tuple[list[float], list[bool]]]:
    pairs: dict[str, tuple[list[float], list[bool]]] = defaultdict(lambda: ([], []))
    for each in examples:
        for channel, found in each.raw.items():
            values, relevant = pairs[scale_of(channel, each.mediums.get(channel, "text"))]
            values += found.values()
            relevant += (each.relevant.get(item, 0) > 0 for item in found)
    return pairs


def _scales(
    examples: Sequence[Example], curves: Mapping[str, tuple[float, float]]
) -> list[dict[str, Any]]:
    """Return how far the fixed and the learned scale are from the share of relevant items."""
    fixed: dict[str, list[float]] = defaultdict(list)
    for each in examples:
        for channel, found in each.raw.items():
            scale = scale_of(channel, each.mediums.get(channel, "text"))
            fixed[scale] += (each.evidence[item][channel] for item in found)
    return [
        {
            "scale": scale,
            "pairs": len(values),
            "before": calibration_error(fixed[scale], relevant),
            "after": calibration_error([platt(value, curves[scale]) for value in values], relevant),
        }
        for scale, (values, relevant) in sorted(_pairs(examples).items())
        if scale in curves
    ]


@dataclass(frozen=True)
class _Table:
    """One query's candidates: evidence (items, channels), which of it is there, and gains (items,).

    Items stand in the order of their ids, so that ties are broken by these. `trust` (channels,) is
    what the query makes of each weight, `asked` (channels,) is 1 for those that found anything;
    `best` the gain of the best ranking, `grades` the number of relevant items.
    """

    evidence: np.ndarray
    there: np.ndarray
    gains: np.ndarray
    trust: np.ndarray
    asked: np.ndarray
    best: float
    grades: int

    def order(self, shares: np.ndarray) -> np.ndarray:
        """Return the first items by the weighted mean of what they have, as `scores.fuse` does."""
        trusted = shares * self.trust
        total = self.there @ trusted
        least = FLOOR * float(self.asked @ trusted)
        fused = self.evidence @ trusted / np.maximum(total, max(least, _TINY))
        scores = np.where(total > 0, fused, -1.0)
        return np.argsort(-scores, kind="stable")[:_DEPTH]

    def ndcg(self, shares: np.ndarray) -> float:
        """Return nDCG@10."""
        gains = self.gains[self.order(shares)]
        return float(gains @ _DISCOUNTS[: len(gains)]) / self.best

    def recall(self, shares: np.ndarray) -> float:
        """Return recall@10."""
        return float((self.gains[self.order(shares)] > 0).sum()) / self.grades


def _weighed(examples: Sequence[_Counted], curves: Mapping[str, tuple[float, float]]) -> Learned:
    """Return the weights that coordinate ascent finds; what changes nothing stays."""
    start = weights()
    names = sorted(start)
    tables = [_table(each, names, curves) for each, _ in examples]
    worths = [worth for _, worth in examples]

    def quality(shares: np.ndarray) -> float:
        return float(np.average([table.ndcg(shares) for table in tables], weights=worths))

    shares = np.array([start[name] for name in names])
    reached = quality(shares)
    for _ in range(_ROUNDS):
        before = reached
        for place in range(len(names)):
            for factor in _FACTORS:
                tried = shares.copy()
                tried[place] *= factor
                if (found := quality(tried)) > reached + _BETTER:
                    shares, reached = tried, found
        if reached == before:
            break
    learned = {name: round(float(share), 6) for name, share in zip(names, shares, strict=True)}
    return Learned(weights=learned, platt=dict(curves))


def _score(examples: Sequence[_Counted], choice: Learned) -> dict[str, float]:
    names = sorted(choice.weights)
    shares = np.array([choice.weights[name] for name in names])
    tables = [_table(each, names, choice.platt) for each, _ in examples]
    worths = [worth for _, worth in examples]
    found = {
        "recall@10": [table.recall(shares) for table in tables],
        "ndcg@10": [table.ndcg(shares) for table in tables],
    }
    return {name: float(np.average(each, weights=worths)) for name, each in found.items()}


def _table(
    each: Example, names: Sequence[str], curves: Mapping[str, tuple[float, float]]
) -> _Table:
    items = sorted(each.evidence)
    evidence = np.zeros((len(items), len(names)))
    there = np.zeros(evidence.shape)
    for column, name in enumerate(names):
        curve = curves.get(scale_of(name, each.mediums.get(name, "text")))
        raw = each.raw.get(name, {})
        for row, item in enumerate(items):
            value = each.evidence[item].get(name)
            if value is not None:
                there[row, column] = 1.0
                evidence[row, column] = platt(raw.get(item, 0.0), curve) if curve else value
    grades = sorted(each.relevant.values(), reverse=True)
    ideal = np.exp2(grades[:_DEPTH]) - 1
    return _Table(
        evidence,
        there,
        np.exp2([each.relevant.get(item, 0) for item in items]) - 1,
        np.array([each.trust.get(name, 1.0) for name in names]),
        np.isin(names, Evidence.of(each.evidence).channels).astype(float),
        float(ideal @ _DISCOUNTS[: len(ideal)]),
        sum(grade > 0 for grade in grades),
    )

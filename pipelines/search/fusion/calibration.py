"""Raw similarities on one scale: 0 is what unrelated things have, 1 is a match beyond doubt.

Fixed, not fitted to a query, so that scores of different queries compare. The constants for text
and pictures and the weights in the channel registry were chosen together by a coarse search over
203 labelled queries (photos by caption and by class, scanned receipts by shop and by product, the
samples' own), for fused recall@10 and MRR not below the best single channel of each group. Those of
sound and BM25 were chosen on an index of photos, receipts, speech and video together, by 268
queries. A release that learned from its own queries has Platt's curves instead.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

# Cosine of unrelated and of perfect pairs, by the model and by what it is asked with. Contrastive
# encoders keep texts and pictures apart, so the cosines of such pairs lie in a narrow low band.
_COSINES = {("open_clip", "text"): (0.10, 0.40), ("open_clip", "pictures"): (0.40, 1.0)}
# Recordings of one kind, such as two people who speak, are alike without having to do with another.
_SOUND = (0.40, 1.0)
_COSINE = (0.05, 1.0)
# Above 1: a strong match in one channel counts for more than weak ones in several.
_POWER = 1.5
_BM25_SHARE = 3.0
# Transcripts share everyday words with any question; only several of its words together tell.
_BM25_POWER = 2.0
_STEPS = 100
_ENOUGH = 1e-5
Value = TypeVar("Value", float, np.ndarray)

_LARGE = 500.0  # an exponent whose power a float still holds


def similarity(cosine: Value, spec: str, medium: str = "text") -> Value:
    """Calibrate cosine similarities of the encoder chosen by `spec`: 0..1.

    `medium` is what it was asked with: text, pictures or sound.
    """
    usual = _SOUND if medium == "sound" else _COSINE
    low, high = _COSINES.get((spec.partition(":")[0], medium), usual)
    return np.clip((cosine - low) / (high - low), 0.0, 1.0) ** _POWER


def bm25(score: Value, words: int, passages: int) -> Value:
    """Calibrate BM25 scores: 0..1, about the share of the query's words that were matched."""
    return np.clip(matched(score, words, passages), 0.0, 1.0) ** _BM25_POWER


def matched(score: Value, words: int, passages: int) -> Value:
    """Return BM25 scores over what a query of so many words attains: about 0..1.

    One match among many words says little, and a rare word weighs about log(passages) in BM25.
    """
    attainable = max(words, 1) * math.log(1 + passages) / _BM25_SHARE
    return score / attainable if attainable else 0.0 * score


def scale_of(channel: str, medium: str) -> str:
    """Name the scale of a channel that is asked with a medium: each has a curve of its own."""
    return channel if medium == "text" else f"{channel} by {medium}"


def platt(value: Value, curve: tuple[float, float]) -> Value:
    """Return the probabilities 1 / (1 + exp(a value + b)) of a curve (a, b)."""
    return 1 / (1 + np.exp(np.clip(curve[0] * value + curve[1], -_LARGE, _LARGE)))


def fit_platt(values: Sequence[float], relevant: Sequence[bool]) -> tuple[float, float]:
    """Fit the curve (a, b) by which a value tells the probability that an item is relevant.

    Platt, Probabilistic Outputs for Support Vector Machines, 1999, with its smoothed targets, by
    Newton's method with backtracking: Lin, Lin & Weng, A Note on Platt's Probabilistic Outputs for
    Support Vector Machines, Machine Learning 68, 2007.

    Raises:
        ValueError: there are no relevant values, or no others.
    """
    x, y = np.asarray(values, float), np.asarray(relevant, bool)
    positive, negative = int(y.sum()), int((~y).sum())
    if not positive or not negative:
        raise ValueError("a curve needs values of relevant and of other items")
    target = np.where(y, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(curve: np.ndarray) -> float:
        exponent = curve[0] * x + curve[1]
        return float(np.sum(np.logaddexp(0, exponent) - (1 - target) * exponent))

    curve = np.array([0.0, math.log((negative + 1) / (positive + 1))])
    inputs = np.stack([x, np.ones_like(x)])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(np.clip(curve @ inputs, -_LARGE, _LARGE)))
        gradient = inputs @ (target - chance)
        if np.abs(gradient).max() < _ENOUGH:
            break
        hessian = (inputs * (chance * (1 - chance))) @ inputs.T + 1e-12 * np.eye(2)
        step, size = -np.linalg.solve(hessian, gradient), 1.0
        while loss(curve + size * step) >= loss(curve) + 1e-4 * size * gradient @ step:
            size /= 2
            if size < 1e-10:
                return float(curve[0]), float(curve[1])
        curve = curve + size * step
    return float(curve[0]), float(curve[1])


def calibration_error(chances: Sequence[float], relevant: Sequence[bool], bins: int = 10) -> float:
    """Return the expected calibration error: how far chances are from frequencies, 0..1.

    The mean of |mean chance - share of relevant| over bins of equal width, weighed by their size:
    Naeini, Cooper & Hauskrecht, AAAI 2015.
    """
    x, y = np.asarray(chances, float), np.asarray(relevant, float)
    places = np.minimum((x * bins).astype(int), bins - 1)
    gaps = np.bincount(places, x - y, minlength=bins)
    return float(np.abs(gaps).sum() / len(x)) if len(x) else 0.0

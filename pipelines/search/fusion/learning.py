"""Scales and weights of channels, learned from labelled queries, kept only where they are better.

Half of the queries, chosen by a hash of what they ask, are learned from; the others decide.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from pipelines.releases.manifest import Learned
from pipelines.search.fusion import calibration
from pipelines.search.fusion.profiles import BM25, DEFAULT
from pipelines.search.fusion.scores import PRIOR

NOTE = "learned"
"""The name of the note that a release takes what was learned from."""

_FEWEST = 20  # queries in each half
_FACTORS = (0.0, 0.25, 0.5, 0.8, 1.25, 2.0, 4.0)
_ROUNDS = 5
_BETTER = 1e-4
_DEPTH = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, _DEPTH + 2))


class Example(Protocol):
    """A labelled query that was asked; see `pipelines.search.measuring.evaluation.Judged`."""

    name: str
    profile: str
    relevant: Mapping[str, float]
    similarity: Mapping[str, Mapping[str, float]]
    mediums: Mapping[str, str]
    words: int
    evidence: Mapping[str, Mapping[str, float]]
    weights: Mapping[str, float]

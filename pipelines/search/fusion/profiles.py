"""Named ways to make one score of many: a rule, the weights of channels, and what else counts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.search.asked.query import AUTO, Query

BM25 = "bm25"
BM25_WEIGHT = 0.18
DEFAULT, NARRATIVE = "default", "narrative"

Rule = Literal["mean", "sum", "best", "ranks"]
Scale = Literal["calibrated", "raw"]


@dataclass(frozen=True)
class Profile:
    """One way to make scores. A channel without a weight does not count.

    `rule` combines an item's channels:
    - `mean`: weighted mean over the channels that it has, the others' weights being renormalised;
    - `sum`: weighted sum, a channel that it does not have counting as 0;
    - `best`: its best vector channel by weight alone, and BM25 by its own weight;
    - `ranks`: weight / (60 + rank) in each channel (reciprocal rank fusion).

    `scale` is the evidence to be given: `calibrated` similarities 0..1, or `raw` ones: cosines, and
    BM25's own scores. `recency` is the weight of an item's recency. `modalities` scales what is
    found by what is asked with and the kind of the item. With `one_vector`, everything that is
    asked with is averaged into one vector (see `pipelines.search.fusion.one_vector`).
    """

    rule: Rule = "mean"
    scale: Scale = "calibrated"
    weights: Mapping[str, float] = field(default_factory=dict)
    recency: float = 0.0
    modalities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    one_vector: bool = False


_OWN = {name: channel.weight for name, channel in CHANNELS.items()} | {BM25: BM25_WEIGHT}
_ALPHA = 0.6
_KINDS = ("text", "image", "document", "audio", "video")

MODALITY_WEIGHTS: Mapping[str, Mapping[str, float]] = {
    asked: {kind: 1.0 if kind == asked else 0.8 for kind in _KINDS}
    for asked in ("text", "image", "audio", "video")
}
"""By what is asked with, then by the kind of the item. A start, not measured: to be set."""

PROFILES: dict[str, Profile] = {
    DEFAULT: Profile(weights=_OWN),
    # What happens in which order is told by the story; a single picture knows nothing of it.
    NARRATIVE: Profile(weights=_OWN | {"story": 0.40, "video": 0.30, "visual": 0.25}),
    "weighted_recency": Profile(
        "sum", "raw", {"visual": 0.4, "caption": 0.3, "ocr": 0.2}, recency=0.1
    ),
    # The dense score is that of the best channel, since few items have them all, and calibrated,
    # since cosines of different models do not compare. BM25 is calibrated alike: its share of what
    # the words of the query could score at most.
    "hybrid": Profile("best", weights=dict.fromkeys(CHANNELS, _ALPHA) | {BM25: 1 - _ALPHA}),
    "mean_vector": Profile("best", "raw", dict.fromkeys(CHANNELS, 1.0), one_vector=True),
    "modality_matrix": Profile(
        "best", "raw", dict.fromkeys(CHANNELS, 1.0), modalities=MODALITY_WEIGHTS
    ),
    # For items that all have the same channels: one that few items have lifts each of these. Among
    # photos with some films, recall@10 of captions was 0.39, and 0.02 with equal weights, but 0.94
    # by default.
    "reciprocal_rank": Profile("ranks", "raw", _OWN),
}

_SEQUENCE = re.compile(
    r"\b(then|after|afterwards|before|until|finally|eventually|followed by|"
    r"first\b.*\b(next|second|later|last))\b",
    re.IGNORECASE,
)


def weights(profile: str = DEFAULT, learned: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the weights of a profile by channel, BM25 included.

    Those that a release `learned` take the place of the default profile's, and of no other's.
    """
    own = dict(PROFILES[profile].weights)
    return own | dict(learned or {}) if profile == DEFAULT else own


def choose(query: Query) -> str:
    """Return the name of the profile that a query asks for, or for `auto` what fits its text.

    A text takes `narrative` when it tells an order: with then, after, afterwards, before, until,
    finally, eventually, followed by, or with first and later on next, second, later or last.

    Raises BadInput for a profile that does not exist.
    """
    if query.profile == AUTO:
        return NARRATIVE if _SEQUENCE.search(query.typed or "") else DEFAULT
    if query.profile not in PROFILES:
        raise BadInput(f"there is no such profile; choose {', '.join((AUTO, *PROFILES))}")
    return query.profile

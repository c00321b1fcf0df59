"""Profiles of weights: which channels count for more with which kind of question."""

import re
from collections.abc import Mapping

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.search.query import AUTO, Query

BM25 = "bm25"
BM25_WEIGHT = 0.18
DEFAULT, NARRATIVE = "default", "narrative"

# What a profile changes of the weights in the registry of channels.
PROFILES: dict[str, Mapping[str, float]] = {
    DEFAULT: {},
    # What happens in which order is told by the story; a single picture knows nothing of it.
    NARRATIVE: {"story": 0.40, "video": 0.30, "visual": 0.25},
}

_SEQUENCE = re.compile(
    r"\b(then|after|afterwards|before|until|finally|eventually|followed by|"
    r"first\b.*\b(next|second|later|last))\b",
    re.IGNORECASE,
)


def weights(profile: str = DEFAULT) -> dict[str, float]:
    """Return the weight of every channel, BM25 included, in a profile."""
    own = {name: channel.weight for name, channel in CHANNELS.items()} | {BM25: BM25_WEIGHT}
    return own | dict(PROFILES[profile])


def choose(query: Query) -> str:
    """Return the profile that a query asks for, or for `auto` the one that fits its text.

    A text takes `narrative` when it tells an order: with then, after, afterwards, before, until,
    finally, eventually, followed by, or with first and later on next, second, later or last.

    Raises BadInput for a profile that does not exist.
    """
    if query.profile == AUTO:
        return NARRATIVE if _SEQUENCE.search(query.typed or "") else DEFAULT
    if query.profile not in PROFILES:
        raise BadInput(f"there is no such profile; choose {', '.join((AUTO, *PROFILES))}")
    return query.profile

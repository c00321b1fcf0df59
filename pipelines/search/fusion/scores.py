"""From one similarity a channel to one score an item: a sum that says where it comes from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.search.fusion.profiles import BM25, DEFAULT, PROFILES, Profile, Rule

RECENCY = "recency"

_RANKS_BELOW = 60  # k of reciprocal rank fusion, as published
_DECAY = 0.03  # a day

Evidence = Mapping[str, Mapping[str, float]]
Parts = Mapping[str, float]


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


def fuse(
    evidence: Evidence,
    shares: Mapping[str, float],
    profile: Profile = PROFILES[DEFAULT],
    days: Mapping[str, float] | None = None,
    asked: str = "text",
    kinds: Mapping[str, str] | None = None,
) -> list[Scored]:
    """Fuse evidence (item to channel to similarity, on the profile's scale), best first.

    `shares` are the profile's weights, as far as they fit the query; by the rule `mean`, an item of
    whose channels none has a weight is left out. `days` tells the age of items, for profiles with
    recency: one whose age is not known has none. `asked` is what is asked with (text, image, audio,
    video) and `kinds` the kind of each item, for profiles that scale by them. Ties are broken by
    item id.
    """
    if profile.rule == "ranks":
        evidence = _ranks(evidence)
    scored = []
    for item_id, found in evidence.items():
        parts = _RULES[profile.rule](found, shares)
        if parts is None:
            continue
        if profile.modalities:
            scale = profile.modalities.get(asked, {}).get((kinds or {}).get(item_id, ""), 1.0)
            parts = {name: part * scale for name, part in parts.items()}
        if profile.recency:
            age = (days or {}).get(item_id)
            fresh = recency(age) if age is not None else 0.0
            parts = {**parts, RECENCY: profile.recency * fresh}
        scored.append(Scored.of(item_id, parts))
    return in_order(scored)


def in_order(scored: list[Scored]) -> list[Scored]:
    """Sort by score, best first, and by item id where scores are equal."""
    return sorted(scored, key=lambda entry: (-entry.score, entry.item_id))


def recency(days: float) -> float:
    """Return how recent something of that age is: 1 for today and the future, 0.25 at 100 days."""
    return 1 / (1 + _DECAY * max(days, 0.0))


def _mean(found: Parts, shares: Parts) -> Parts | None:
    total = sum(shares.get(name, 0.0) for name in found)
    if total <= 0:
        return None
    return {name: shares.get(name, 0.0) * value / total for name, value in found.items()}


def _sum(found: Parts, shares: Parts) -> Parts:
    return {name: shares[name] * value for name, value in found.items() if name in shares}


def _best(found: Parts, shares: Parts) -> Parts:
    parts = _sum(found, shares)
    dense = [name for name in parts if name != BM25]
    best = max(dense, key=lambda name: (parts[name], name), default=None)
    return {name: part for name, part in parts.items() if name in (best, BM25)}


def _reciprocal(found: Parts, shares: Parts) -> Parts:
    """Cormack, Clarke and Buettcher 2009, with a weight for each channel."""
    return {
        name: shares[name] / (_RANKS_BELOW + rank) for name, rank in found.items() if name in shares
    }


def _ranks(evidence: Evidence) -> Evidence:
    """Rank the items within each channel, from 1; equal similarities share the better rank.

    A passage without any word of the query is not ranked.
    """
    ranks: dict[str, dict[str, float]] = {item_id: {} for item_id in evidence}
    for name in sorted({name for found in evidence.values() for name in found}):
        values = {item: found[name] for item, found in evidence.items() if name in found}
        if name == BM25:
            values = {item: value for item, value in values.items() if value > 0}
        place, last = 0, None
        for position, item_id in enumerate(sorted(values, key=lambda i: -values[i]), start=1):
            if values[item_id] != last:
                place, last = position, values[item_id]
            ranks[item_id][name] = place
    return ranks


_RULES: Mapping[Rule, Callable[[Parts, Parts], Parts | None]] = {
    "mean": _mean,
    "sum": _sum,
    "best": _best,
    "ranks": _reciprocal,
}

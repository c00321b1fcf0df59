"""From one similarity a channel to one score an item: a sum that says where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Scored:
    """One item's fused score; `channels` holds each channel's share and sums to `score`."""

    item_id: str
    score: float
    channels: Mapping[str, float]


def fuse(evidence: Mapping[str, Mapping[str, float]], shares: Mapping[str, float]) -> list[Scored]:
    """Fuse calibrated evidence (item to channel to 0..1) by late fusion, best first.

    A channel that an item does not have is left out and the weights of the others are renormalised,
    so an item without audio is judged by what it has. Ties are broken by item id.
    """
    scored = []
    for item_id, channels in evidence.items():
        total = sum(shares[name] for name in channels)
        if total <= 0:
            continue
        parts = {name: shares[name] * value / total for name, value in channels.items()}
        scored.append(Scored(item_id, sum(parts.values()), parts))
    return sorted(scored, key=lambda entry: (-entry.score, entry.item_id))

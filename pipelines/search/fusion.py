"""From one similarity a channel to one score an item: a sum that says where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.channels import CHANNELS

BM25 = "bm25"
BM25_WEIGHT = 0.18


@dataclass(frozen=True)
class Scored:
    """One item's fused score; `channels` holds each channel's share and sums to `score`."""

    item_id: str
    score: float
    channels: Mapping[str, float]


def weights(channels: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the weight of every channel, BM25 included, overridden by the given ones."""
    own = {name: channel.weight for name, channel in CHANNELS.items()} | {BM25: BM25_WEIGHT}
    return own | dict(channels or {})


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

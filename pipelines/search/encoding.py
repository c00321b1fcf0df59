"""A query's vectors, one for each channel of a release that can be asked with it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from pipelines.channels import CHANNELS, Encoder
from pipelines.errors import IdentityMismatch, ModelUnavailable
from pipelines.models import factory
from pipelines.models.batching import ensure_identity
from pipelines.models.protocols import Identity
from pipelines.releases.manifest import ChannelVersion
from pipelines.search.expansion import reason_of
from pipelines.search.query import Degraded, Query

# A model that could not be loaded is not looked for again by every query.
_RETRY_S = 60.0

Medium = Literal["text", "pictures", "sound"]


@dataclass(frozen=True)
class Probe:
    """What one channel is asked with: a unit vector, and what of the query it was made from."""

    vector: np.ndarray
    medium: Medium


@dataclass
class Encoded:
    """The probes of a query by channel, and the channels that could not be asked."""

    probes: dict[str, Probe] = field(default_factory=dict)
    degraded: list[Degraded] = field(default_factory=list)


class ChannelEncoders:
    """The very models that a release's channels were encoded with; others are refused."""

    def __init__(self, channels: Mapping[str, ChannelVersion]):
        self._channels = channels
        self._failed: dict[str, tuple[float, str]] = {}

    def encode(self, query: Query) -> Encoded:
        """Encode a query for each channel; one whose model fails is noted as degraded.

        A text is encoded once for all channels that share a model.
        """
        encoded = Encoded()
        texts: dict[tuple[str, str], np.ndarray] = {}
        for name in self._channels:
            if not _can_ask(CHANNELS[name].encoder, query):
                continue
            reason = self._recent_failure(name)
            if reason is None:
                try:
                    encoder = self._load(name)
                    probe = _probe(CHANNELS[name].encoder, encoder, query, texts)
                    encoded.probes[name] = probe
                    continue
                except Exception as error:
                    reason = self._noted(name, error)
            encoded.degraded.append(Degraded("channel", name, reason))
        return encoded

    def load(self) -> dict[str, Identity]:
        """Load every encoder; return the identities by channel of those that could be had."""
        identities = {}
        for name in self._channels:
            try:
                identities[name] = self._load(name).identity
            except (IdentityMismatch, ModelUnavailable) as error:
                self._noted(name, error)
        return identities

    def _load(self, name: str) -> Any:
        version = self._channels[name]
        encoder = factory.channel_encoder(CHANNELS[name].encoder, version.spec)
        ensure_identity(Identity(**version.identity), encoder.identity)
        return encoder

    def _noted(self, name: str, error: Exception) -> str:
        reason = reason_of(error)
        if isinstance(error, IdentityMismatch | ModelUnavailable):
            self._failed[name] = (time.monotonic(), reason)
        return reason

    def _recent_failure(self, name: str) -> str | None:
        at, reason = self._failed.get(name, (float("-inf"), ""))
        return reason if time.monotonic() - at < _RETRY_S else None


def _can_ask(kind: Encoder, query: Query) -> bool:
    match kind:
        case "text":
            return query.words is not None
        case "sound":
            return query.sound is not None
        case "image" | "clip":
            return bool(query.pictures or query.literal)


def _probe(
    kind: Encoder, encoder: Any, query: Query, texts: dict[tuple[str, str], np.ndarray]
) -> Probe:
    def text(content: str) -> np.ndarray:
        key = (encoder.identity.key, content)
        if key not in texts:
            texts[key] = encoder.encode_texts([content])[0]
        return texts[key]

    if kind == "text":
        return Probe(text(query.words or ""), "text")
    if kind == "sound":
        assert query.sound is not None
        return Probe(encoder.encode_prepared([encoder.prepare(query.sound.samples)])[0], "sound")
    if not query.pictures:
        return Probe(text(query.literal or ""), "text")
    parts = [_shown(kind, encoder, query)]
    if query.typed:
        parts.append(text(query.typed))
    return Probe(_mean(parts), "pictures")


def _shown(kind: Encoder, encoder: Any, query: Query) -> np.ndarray:
    """Encode pictures: to an image channel as their mean, to a clip channel as one clip."""
    if kind == "clip":
        return encoder.encode_prepared([encoder.prepare(query.pictures)])[0]
    prepared = [encoder.prepare(picture) for picture in query.pictures]
    return _mean(encoder.encode_prepared(prepared))


def _mean(vectors: Any) -> np.ndarray:
    mean = np.mean(vectors, axis=0)
    return mean / np.linalg.norm(mean)

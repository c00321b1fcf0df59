"""A query's vectors, one for each channel of a release that can be asked with it."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from pipelines.channels import CHANNELS, Encoder
from pipelines.errors import IdentityMismatch, ModelUnavailable
from pipelines.models import factory
from pipelines.models.batching import ensure_identity
from pipelines.models.protocols import Identity, TextEncoder
from pipelines.releases.manifest import ChannelVersion
from pipelines.search.asked.expansion import reason_of
from pipelines.search.asked.query import Degraded, Query
from pipelines.search.caches import Cache, MemoryCache, key_of

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
    """The probes of a query by channel, and the channels that could not be asked.

    `ms` tells how long each channel's probe took (milliseconds). `like` names the items of whose
    vectors the probes were made, where they are not the query's own.
    """

    probes: dict[str, Probe] = field(default_factory=dict)
    degraded: list[Degraded] = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)
    like: tuple[str, ...] | None = None


class ChannelEncoders:
    """The very models that a release's channels were encoded with; others are refused."""

    def __init__(self, channels: Mapping[str, ChannelVersion], cache: Cache | None = None):
        self._channels = channels
        self._identities = {name: Identity(**each.identity) for name, each in channels.items()}
        self._cache = cache
        self._failed: dict[str, tuple[float, str]] = {}

    def encode(self, query: Query) -> Encoded:
        """Encode a query for each channel; one whose model fails is noted as degraded.

        A text is encoded once for all channels that share a model, and once an hour at most.
        """
        encoded = Encoded()
        texts: dict[tuple[str, str], np.ndarray] = {}

        def text(encoder: Any, content: str) -> np.ndarray:
            key = (encoder.identity.key, content)
            if key not in texts:
                texts[key] = self._text(encoder, content)
            return texts[key]

        for name in self._channels:
            if not query.asks(name) or not _can_ask(CHANNELS[name].encoder, query):
                continue
            started = time.perf_counter()
            reason = self._recent_failure(name)
            if reason is None:
                try:
                    encoder = self._load(name)
                    probe = _probe(CHANNELS[name].encoder, encoder, query, text)
                    encoded.probes[name] = probe
                    encoded.ms[name] = (time.perf_counter() - started) * 1000
                    continue
                except Exception as error:
                    reason = self._noted(name, error)
            encoded.degraded.append(Degraded("channel", name, reason))
        return encoded

    def remembers(self, query: Query) -> bool:
        """Tell whether all vectors of a query are in memory, so that no model is asked for any."""
        if not isinstance(self._cache, MemoryCache) or query.pictures or query.sound:
            return False
        kinds = {name: CHANNELS[name].encoder for name in self._channels if query.asks(name)}
        keys = (
            _key(self._identities[name], _content(kind, query))
            for name, kind in kinds.items()
            if _can_ask(kind, query)
        )
        return all(self._cache.read("embedding", key) is not None for key in keys)

    def spec(self, channel: str) -> str:
        """Return the setting that chose a channel's model."""
        return self._channels[channel].spec

    def of_texts(self) -> TextEncoder | None:
        """Return the model that texts were encoded with, `None` where it cannot be had."""
        for name in self._channels:
            if CHANNELS[name].encoder == "text":
                with suppress(IdentityMismatch, ModelUnavailable):
                    encoder: TextEncoder = self._load(name)
                    return encoder
        return None

    def load(self) -> dict[str, Identity]:
        """Load every encoder; return the identities by channel of those that could be had."""
        identities = {}
        for name in self._channels:
            try:
                identities[name] = self._load(name).identity
            except (IdentityMismatch, ModelUnavailable) as error:
                self._noted(name, error)
        return identities

    def _text(self, encoder: Any, content: str) -> np.ndarray:
        if self._cache is None:
            return encoder.encode_texts([content])[0]
        key = _key(encoder.identity, content)
        if (known := self._cache.get("embedding", key)) is not None:
            return np.frombuffer(known, np.float32)
        vector = np.asarray(encoder.encode_texts([content])[0], np.float32)
        self._cache.set("embedding", key, vector.tobytes())
        return vector

    def _load(self, name: str) -> Any:
        version = self._channels[name]
        encoder = factory.channel_encoder(CHANNELS[name].encoder, version.spec)
        ensure_identity(self._identities[name], encoder.identity)
        return encoder

    def _noted(self, name: str, error: Exception) -> str:
        reason = reason_of(error)
        if isinstance(error, IdentityMismatch | ModelUnavailable):
            self._failed[name] = (time.monotonic(), reason)
        return reason

    def _recent_failure(self, name: str) -> str | None:
        at, reason = self._failed.get(name, (float("-inf"), ""))
        return reason if time.monotonic() - at < _RETRY_S else None


def _key(identity: Identity, content: str) -> str:
    return key_of(identity.key, content)


def _content(kind: Encoder, query: Query) -> str:
    """Return the text that a channel is asked with where it is asked with no medium."""
    return (query.words if kind == "text" else query.literal) or ""


def _can_ask(kind: Encoder, query: Query) -> bool:
    match kind:
        case "text":
            return query.words is not None
        case "sound":
            return query.sound is not None
        case "image" | "clip":
            return bool(query.pictures or query.literal)


def _probe(
    kind: Encoder, encoder: Any, query: Query, text: Callable[[Any, str], np.ndarray]
) -> Probe:
    if kind == "sound":
        assert query.sound is not None
        return Probe(encoder.encode_prepared([encoder.prepare(query.sound.samples)])[0], "sound")
    if kind == "text" or not query.pictures:
        return Probe(text(encoder, _content(kind, query)), "text")
    parts = [_shown(kind, encoder, query)]
    if query.typed:
        parts.append(text(encoder, query.typed))
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

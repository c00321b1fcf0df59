"""From what each channel found to one ranked list: scores that add up, and a place for each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.releases.manifest import Manifest
from pipelines.search import calibration, profiles
from pipelines.search.encoding import Encoded, Probe
from pipelines.search.fusion import Scored, fuse
from pipelines.search.profiles import BM25
from pipelines.search.query import Degraded, Query

# A caption that was made up for a picture says less than what a person wrote or said.
_GUESS_TRUST = 0.1


class Hit(NamedTuple):
    """The best row of an item in one channel: raw similarity, and where it stands in the answer."""

    value: float
    found: Any
    position: int

    @property
    def row(self) -> dict[str, Any]:
        """The row itself, read only for the few that are shown."""
        return self.found.slice(self.position, 1).to_pylist()[0]


Hits = Mapping[str, Mapping[str, Hit]]
"""The best row of each item by channel."""


@dataclass(frozen=True)
class Answer:
    """Ranked items with the evidence they rank by; `places` holds the best row of each."""

    release: str
    profile: str
    query: Query
    ranked: Sequence[Scored]
    places: Mapping[str, Mapping[str, Any]]
    degraded: Sequence[Degraded]


def rank(manifest: Manifest, query: Query, encoded: Encoded, hits: Hits) -> Answer:
    """Fuse what the channels found; the row that contributed most tells the moment of an item."""
    evidence: dict[str, dict[str, float]] = defaultdict(dict)
    for name, items in hits.items():
        for item_id, hit in items.items():
            value = _calibrated(manifest, name, hit.value, query, encoded.probes.get(name))
            evidence[item_id][name] = value
    if BM25 in hits:
        for channels in evidence.values():
            channels.setdefault(BM25, 0.0)
    profile = profiles.choose(query)
    ranked = fuse(evidence, _shares(profile, query, encoded))[: query.k]
    places = {}
    for entry in ranked:
        best = max(
            (name for name in entry.channels if entry.item_id in hits[name]),
            key=lambda name: (entry.channels[name], name),
        )
        places[entry.item_id] = hits[best][entry.item_id].row
    return Answer(manifest.release, profile, query, ranked, places, tuple(encoded.degraded))


def _calibrated(
    manifest: Manifest, name: str, value: float, query: Query, probe: Probe | None
) -> float:
    if probe is not None:
        spec = manifest.channels[name].spec
        return calibration.similarity(value, spec, probe.medium)
    passages = manifest.passages.rows if manifest.passages else 0
    return calibration.bm25(value, len((query.literal or "").split()), passages)


def _shares(profile: str, query: Query, encoded: Encoded) -> dict[str, float]:
    """Return the weights of the profile, as far as they fit what is asked with.

    A channel that is asked with a made-up caption counts for less. Asked with a film, whole films
    count as pictures do otherwise: each picture shown in it is like only a part of it.
    """
    shares = profiles.weights(profile)
    if query.clip:
        shares |= {"video": shares["visual"], "visual": shares["video"]}
    if not query.typed and query.guess and query.guess.source == "caption":
        guessed = (name for name, probe in encoded.probes.items() if probe.medium == "text")
        shares |= {name: shares[name] * _GUESS_TRUST for name in guessed}
    return shares

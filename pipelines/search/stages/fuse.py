"""From raw similarities to one ranked list of all candidates."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from pipelines.search import catalog
from pipelines.search.asked.encoding import Probe
from pipelines.search.asked.query import Query
from pipelines.search.fusion import calibration
from pipelines.search.fusion.profiles import BM25, PROFILES, Profile, weights
from pipelines.search.fusion.scores import fuse
from pipelines.search.retrieval import Retrieval

# A caption that was made up for a picture says less than what a person wrote or said.
_GUESS_TRUST = 0.1


class Fuse:
    """Puts similarities on the profile's scale, weighs them and adds them up."""

    name = "fuse"

    async def run(self, asked: Retrieval) -> None:
        """Leave evidence, weights and the ranking."""
        profile = PROFILES[asked.profile]
        if not profile.recency:
            profile = replace(profile, recency=asked.settings.recency)
        asked.evidence = _evidence(asked, profile)
        asked.weights = _shares(asked, profile)
        days = None
        if profile.recency:
            found = asked.evidence.keys()
            days = await asyncio.to_thread(catalog.ages, asked.searcher.store, found, asked.at)
        asked.ranked = fuse(
            asked.evidence,
            asked.weights,
            profile,
            days,
            _modality(asked.query),
            _kinds(asked) if profile.modalities else None,
        )


def _evidence(asked: Retrieval, profile: Profile) -> Mapping[str, Mapping[str, float]]:
    """Return similarities by item and channel; a passage that no word is in counts as 0."""
    evidence: dict[str, dict[str, float]] = defaultdict(dict)
    for name, items in asked.hits.items():
        probe = asked.encoded.probes.get(name)
        for item_id, hit in items.items():
            raw = profile.scale == "raw"
            evidence[item_id][name] = (
                hit.value if raw else _calibrated(asked, name, hit.value, probe)
            )
    if BM25 in asked.hits:
        for channels in evidence.values():
            channels.setdefault(BM25, 0.0)
    return evidence


def _calibrated(asked: Retrieval, name: str, value: float, probe: Probe | None) -> float:
    manifest = asked.searcher.manifest
    if probe is not None:
        return calibration.similarity(value, manifest.channels[name].spec, probe.medium)
    passages = manifest.passages.rows if manifest.passages else 0
    return calibration.bm25(value, len((asked.query.literal or "").split()), passages)


def _shares(asked: Retrieval, profile: Profile) -> dict[str, float]:
    """Return the weights of the profile, as far as they fit what is asked with.

    A channel that is asked with a made-up caption counts for less. Asked with a film, whole films
    count as pictures do otherwise: each picture shown in it is like only a part of it.
    """
    query, learned = asked.query, asked.searcher.manifest.learned
    shares = weights(asked.profile, learned.weights if learned else None)
    if profile.rule != "mean":
        return shares
    if query.clip:
        shares |= {"video": shares["visual"], "visual": shares["video"]}
    if not query.typed and query.guess and query.guess.source == "caption":
        probes = asked.encoded.probes
        guessed = (name for name, probe in probes.items() if probe.medium == "text")
        shares |= {name: shares[name] * _GUESS_TRUST for name in guessed}
    return shares


def _modality(query: Query) -> str:
    if query.typed:
        return "text"
    return "video" if query.clip else "image" if query.image else "audio"


def _kinds(asked: Retrieval) -> dict[str, str]:
    return {
        item_id: hit.row["kind"] for found in asked.hits.values() for item_id, hit in found.items()
    }

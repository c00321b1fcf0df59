"""What the found similarities of a query weigh: matrices, scales, and the profile's weights."""

import asyncio
from collections.abc import Iterable, Sequence

import numpy as np

from pipelines.search.asked.query import Query
from pipelines.search.engines.found import Ids, hashes_of
from pipelines.search.fusion import calibration
from pipelines.search.fusion.evidence import Evidence
from pipelines.search.fusion.profiles import BM25, DEFAULT, Profile, weights
from pipelines.search.retrieval import Retrieval

# A caption that was made up for a picture says less than what a person wrote or said.
_GUESS_TRUST = 0.1


def similarities(asked: Retrieval, only: Sequence[str] | None = None) -> Evidence:
    """Return what was found, of all items or of some, on the scales that it was found on.

    A channel that has nothing of what may be seen is left out, as if it had not been asked.
    """
    there = {name: each for name, each in asked.hits.items() if len(each) or name == BM25}
    found = [*there.values()]
    hashes = np.concatenate([np.zeros(0, np.int64), *(each.hashes for each in found)])
    scores = np.concatenate([np.zeros(0), *(each.scores for each in found)])
    columns = np.repeat(np.arange(len(found)), [len(each) for each in found])
    ids: Sequence[str]
    if only:
        ids, wanted = only, hashes_of(only)
        order = np.argsort(wanted)
        rows = order[np.searchsorted(wanted, hashes, sorter=order) % len(wanted)]
        known = wanted[rows] == hashes
        rows, columns, scores = rows[known], columns[known], scores[known]
    else:
        _, first, rows = np.unique(hashes, return_index=True, return_inverse=True)
        ids = Ids(found, first)
    matrix = np.full((len(ids), len(found)), np.nan)
    matrix[rows, columns] = scores
    return Evidence(ids, [*there], matrix)


def on_scale(asked: Retrieval, found: Evidence, profile: Profile) -> Evidence:
    """Put similarities on the profile's scale; a passage that no word is in counts as 0."""
    matrix = found.matrix.copy()
    for column, name in enumerate(found.channels):
        if name == BM25:
            matrix[:, column] = np.nan_to_num(matrix[:, column])
        if profile.scale == "calibrated":
            matrix[:, column] = _calibrated(asked, name, matrix[:, column])
    return found.with_matrix(matrix)


def _calibrated(asked: Retrieval, name: str, values: np.ndarray) -> np.ndarray:
    """Put raw similarities on the fixed scales, or on those that the release learned."""
    manifest, probe = asked.searcher.manifest, asked.encoded.probes.get(name)
    learned = manifest.learned if asked.profile == DEFAULT else None
    medium = probe.medium if probe else "text"
    curve = learned.platt.get(calibration.scale_of(name, medium)) if learned else None
    if probe is not None:
        if curve:
            return calibration.platt(values, curve)
        return calibration.similarity(values, manifest.channels[name].spec, probe.medium)
    words = len((asked.query.literal or "").split())
    passages = manifest.passages.rows if manifest.passages else 0
    if curve:
        return calibration.platt(calibration.matched(values, words, passages), curve)
    return calibration.bm25(values, words, passages)


def shares_of(asked: Retrieval, profile: Profile) -> dict[str, float]:
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


def modality(query: Query) -> str:
    """Return what is asked with."""
    if query.typed:
        return "text"
    return "video" if query.clip else "image" if query.image else "audio"


async def kinds(asked: Retrieval, profile: Profile, item_ids: Iterable[str]) -> dict[str, str]:
    """Return the kinds of items that were found, where the profile asks for them."""
    if not profile.modalities:
        return {}
    items: dict[str, list[str]] = {}
    for item_id in item_ids:
        channel = next(name for name, found in asked.hits.items() if item_id in found)
        items.setdefault(channel, []).append(item_id)
    told = await asyncio.gather(*(asked.told(name, each) for name, each in items.items()))
    return {item_id: row["kind"] for rows in told for item_id, row in rows.items()}

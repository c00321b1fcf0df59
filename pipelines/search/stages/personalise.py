"""What the caller liked before, where they agreed to that and the settings give it a weight."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pipelines.search.fusion.evidence import Evidence
from pipelines.search.fusion.profiles import DEFAULT, PROFILES, weights
from pipelines.search.fusion.scores import Scored, fuse, ids_of, in_order, scores_of
from pipelines.search.like import probes_of
from pipelines.search.retrieval import Retrieval
from pipelines.search.taste import PERSONAL, Taste
from pipelines.search.weighing import on_scale, similarities


class Personalise:
    """Adds to each score how like the candidate is to what the caller liked.

    It comes after the step that judges, so that no taste makes nonsense an answer.
    """

    name = "personalise"

    async def run(self, asked: Retrieval) -> None:
        """Reorder, and leave the new part in evidence and weights."""
        taste = asked.taste
        if taste is None or not asked.ranked:
            return
        likings = taste.then if taste.then is not None else await _likings(asked, taste)
        asked.ranked = in_order(
            [
                Scored.of(
                    entry.item_id,
                    {**entry.channels, PERSONAL: taste.weight * likings.get(entry.item_id, 0.0)},
                )
                for entry in asked.ranked
            ]
        )
        asked.evidence = _with(asked.evidence, likings)
        asked.similarities = _with(asked.similarities, {})
        asked.weights = {**asked.weights, PERSONAL: taste.weight}


async def _likings(asked: Retrieval, taste: Taste) -> dict[str, float]:
    """Return how like each candidate is to what was liked: 0..1, as `fuse` weighs channels.

    At single precision, in which the journal keeps it.
    """
    encoded = await probes_of(asked.searcher, taste.items, asked.query, taste.items)
    candidates = ids_of(asked.ranked)
    found = await asyncio.gather(
        *(
            asked.engine.similarity(name, probe.vector, candidates)
            for name, probe in encoded.probes.items()
        )
    )
    hits = dict(zip(encoded.probes, found, strict=True))
    liked = replace(asked, encoded=encoded, hits=hits, profile=DEFAULT)
    learned = asked.searcher.manifest.learned
    shares = weights(DEFAULT, learned.weights if learned else None)
    ranked = fuse(on_scale(liked, similarities(liked), PROFILES[DEFAULT]), shares)
    values = np.asarray(scores_of(ranked), np.float32).tolist()
    return dict(zip(ids_of(ranked), values, strict=True))


def _with(found: Evidence, values: Mapping[str, float]) -> Evidence:
    column = [values.get(item_id, np.nan) for item_id in found.ids]
    return Evidence(found.ids, (*found.channels, PERSONAL), np.column_stack([found.matrix, column]))

"""The candidates of all channels, scored in all channels."""

import asyncio
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from pipelines.search.fusion.profiles import PROFILES
from pipelines.search.fusion.scores import fuse, ids_of
from pipelines.search.retrieval import Retrieval
from pipelines.search.weighing import kinds, modality, on_scale, shares_of, similarities


class Union:
    """Scores items that one channel found in the others too.

    So a low similarity is not mistaken for a channel that the item does not have. Of many, only
    those go on that would be the best if they were, in each channel that did not find them, as good
    as the last that it found.
    """

    name = "union"

    async def run(self, asked: Retrieval) -> None:
        """Choose the candidates, and add the similarities that they lack."""
        channels = asked.searcher.manifest.channels
        # A channel that was asked for all its rows has nothing left to add.
        cut = [name for name in asked.encoded.probes if channels[name].rows > asked.rows]
        if not cut:
            return
        promising = await _promising(asked, cut)
        asked.candidates = [*dict.fromkeys([*ids_of(asked.settled), *promising])]

        async def complete(name: str) -> None:
            if missing := asked.hits[name].lacks(asked.candidates or ()):
                with asked.part(name):
                    vector = asked.encoded.probes[name].vector
                    asked.hits[name].add(await asked.engine.similarity(name, vector, missing))

        await asyncio.gather(*map(complete, cut))


async def _promising(asked: Retrieval, cut: Collection[str]) -> list[str]:
    profile, found = replace(PROFILES[asked.profile], recency=0.0), similarities(asked)
    hopes = found.matrix.copy()
    for column, name in enumerate(found.channels):
        if name in cut:
            values = hopes[:, column]
            values[np.isnan(values)] = asked.hits[name].scores.min()
    return fuse(
        on_scale(asked, found.with_matrix(hopes), profile),
        shares_of(asked, profile),
        profile,
        asked=modality(asked.query),
        kinds=await kinds(asked, profile, found.ids),
        most=asked.ranks,
    ).ids

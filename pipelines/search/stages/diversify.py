"""Like things apart, so that the first results show more of what there is."""

import asyncio

import numpy as np

from pipelines.search.fusion.diversity import PLAIN, diversify
from pipelines.search.fusion.profiles import BM25
from pipelines.search.retrieval import Retrieval
from pipelines.tables.vectors import unit

_CHOSEN_FROM = 50


class Diversify:
    """Orders the best by maximal marginal relevance, where the query asks for it."""

    name = "diversify"

    async def run(self, asked: Retrieval) -> None:
        """Reorder; scores stay as they are."""
        if asked.query.diversity >= PLAIN or len(asked.ranked) < 2:
            return
        best = asked.ranked[:_CHOSEN_FROM]
        names = {entry.item_id for entry in best}

        async def directions(channel: str) -> dict[str, np.ndarray]:
            with asked.part(channel):
                rows = await asked.searcher.tables.vectors(channel, names)
            return {item: unit(each.mean(axis=0)) for item, each in rows.items()}

        channels = [name for name in asked.hits if name != BM25]
        spaces = await asyncio.gather(*map(directions, channels))
        ordered = diversify(best, spaces, asked.query.diversity)
        asked.ranked = [*ordered, *asked.ranked[_CHOSEN_FROM:]]

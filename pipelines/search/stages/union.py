"""All candidates scored in all channels."""

import asyncio

from pipelines.search.retrieval import Retrieval


class Union:
    """Scores items that one channel found in the others too.

    So a low similarity is not mistaken for a channel that the item does not have.
    """

    name = "union"

    async def run(self, asked: Retrieval) -> None:
        """Add the similarities that are missing."""
        hits, channels = asked.hits, asked.searcher.manifest.channels
        found = set[str]().union(*(each.ids for each in hits.values()))
        # A channel that was asked for all its rows has nothing left to add.
        cut = {
            name: missing
            for name in asked.encoded.probes
            if channels[name].rows > asked.rows and (missing := found.difference(hits[name].ids))
        }

        async def complete(name: str) -> None:
            with asked.part(name):
                vector = asked.encoded.probes[name].vector
                more = await asked.engine.similarity(name, vector, cut[name])
            hits[name].add(more)

        await asyncio.gather(*map(complete, cut))

"""Words for a query without any: what is said in its sound, read in its image, or shown by it."""

import asyncio

from pipelines.search.asked.expansion import expand
from pipelines.search.retrieval import Retrieval


class Expand:
    """Guesses words, so that text channels can be asked by picture, sound or film."""

    name = "expand"

    async def run(self, asked: Retrieval) -> None:
        """Add the guess, where there is none and no text."""
        if asked.given is None and not asked.query.typed:
            asked.query = await asyncio.to_thread(
                expand, asked.query, asked.settings, asked.listeners
            )

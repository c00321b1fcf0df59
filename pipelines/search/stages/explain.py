"""What is told of each result: its parts, the words that matched, and the place in the item."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pipelines.search.answers import result
from pipelines.search.fusion.profiles import BM25
from pipelines.search.fusion.scores import Scored
from pipelines.search.retrieval import Retrieval
from pipelines.search.words import matched


class Explain:
    """Describes what is shown, by the row that contributed most to each item's score."""

    name = "explain"

    async def run(self, asked: Retrieval) -> None:
        """Leave the results."""
        best = {entry.item_id: _best_channel(asked, entry) for entry in asked.shown}
        needed = {name: [each for each in best if best[each] == name] for name in asked.hits}
        if asked.query.literal and BM25 in asked.hits:
            needed[BM25] = [each for each in best if each in asked.hits[BM25]]
        told: dict[str, dict[str, dict[str, Any]]] = {}

        async def tell(name: str) -> None:
            with asked.part(name):
                told[name] = await asked.told(name, needed[name])

        await asyncio.gather(*(tell(name) for name in needed if needed[name]))
        passages = told.get(BM25, {})
        asked.results = [
            result(
                entry,
                told[best[entry.item_id]][entry.item_id],
                best[entry.item_id],
                _matched(asked, passages.get(entry.item_id)),
                passages.get(entry.item_id),
            )
            for entry in asked.shown
        ]


def _best_channel(asked: Retrieval, entry: Scored) -> str:
    found = (name for name, hits in asked.hits.items() if entry.item_id in hits)
    return max(found, key=lambda name: (entry.channels.get(name, 0.0), name))


def _matched(asked: Retrieval, passage: Mapping[str, Any] | None) -> list[str]:
    words = asked.query.literal
    return matched(words, passage["text"]) if words and passage else []

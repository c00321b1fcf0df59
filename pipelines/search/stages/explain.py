"""What is told of each result: its parts, the words that matched, and the place in the item."""

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
        asked.results = [_result(asked, entry) for entry in asked.shown]


def _result(asked: Retrieval, entry: Scored) -> dict[str, Any]:
    found = {name: hits for name, hits in asked.hits.items() if entry.item_id in hits}
    best = max(found, key=lambda name: (entry.channels.get(name, 0.0), name))
    words: list[str] = []
    if asked.query.literal and BM25 in found:
        passage = found[BM25][entry.item_id]
        words = matched(asked.query.literal, passage.found["text"][passage.position].as_py())
    return result(entry, found[best][entry.item_id].row, best, words)

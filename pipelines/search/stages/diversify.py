"""Like things apart, so that the first results show more of what there is."""

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
        depth = max(_CHOSEN_FROM, asked.wanted)
        best = asked.ranked[:depth]
        names = {entry.item_id for entry in best}
        # The channel that most of them have tells best which of them are alike.
        channels = [name for name in asked.hits if name != BM25]
        if not channels:
            return
        channel = max(channels, key=lambda name: (len(names & asked.hits[name].keys()), name))
        with asked.part(channel):
            rows = await asked.searcher.tables.vectors(channel, names)
        vectors = {item: unit(each.mean(axis=0)) for item, each in rows.items()}
        ordered = diversify(best, vectors, asked.query.diversity, asked.wanted)
        asked.ranked = [*ordered, *asked.ranked[depth:]]

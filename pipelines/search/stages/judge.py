"""Whether anything that was found is a match at all."""

from pipelines.search.fusion.profiles import BM25, PROFILES
from pipelines.search.fusion.scores import RECENCY
from pipelines.search.fusion.threshold import no_match
from pipelines.search.retrieval import Retrieval


class Judge:
    """Empties the answer to nonsense and to what nothing comes close to, and says why."""

    name = "judge"

    async def run(self, asked: Retrieval) -> None:
        """Leave the reason, where there is no good match."""
        query = asked.query
        # Whoever filters asks for what passes the filter, however far it is.
        if not asked.settings.refuse_nonsense or query.where or asked.encoded.like:
            return
        if query.pictures or query.sound:
            return
        # The bounds were found for the scores of these profiles.
        measured = PROFILES[asked.profile].rule == "mean" and not asked.searcher.manifest.learned
        best = None
        if measured:
            first = asked.ranked[0] if asked.ranked else None
            best = first.score - first.channels.get(RECENCY, 0.0) if first else 0.0
        asked.no_match = no_match(query.typed, bool(asked.hits.get(BM25)), best)
        if asked.no_match:
            asked.ranked = []

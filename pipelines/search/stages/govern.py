"""Last look before anything is shown: the ledger may have moved while the query ran."""

from itertools import islice

from pipelines.search.retrieval import Retrieval


class Govern:
    """Cuts the answer, without what must not be shown by now.

    Rights and the ledger already held in every search; this catches an erasure in between.
    """

    name = "govern"

    async def run(self, asked: Retrieval) -> None:
        """Choose what is shown."""
        hidden = asked.allowed.hidden
        if asked.hidden_now is not None:
            hidden |= await asked.hidden_now()
        shown = (entry for entry in asked.ranked if entry.item_id not in hidden)
        asked.shown = list(islice(shown, asked.query.offset, asked.wanted))

"""The next page of an answer, without searching again where its ranking is complete."""

from dataclasses import replace

from pipelines.search.fusion.diversity import PLAIN
from pipelines.search.retrieval import Retrieval, run
from pipelines.search.stages import SHOWING


async def cut_next(asked: Retrieval) -> Retrieval | None:
    """Cut the page after an answer from the same ranking, by the ledger of now.

    `None` where that ranking does not reach so far, or is in order only as far as it was shown.
    """
    query = replace(asked.query, offset=asked.wanted)
    page = replace(asked, query=query, shown=(), results=[], trace=[])
    if query.diversity < PLAIN or len(asked.ranked) < page.wanted:
        return None
    return await run(page, SHOWING)

"""The page after an answer, made ready before it is asked for."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from pipelines.search.ahead import Ahead
from pipelines.search.answers import as_document
from pipelines.search.fusion.diversity import PLAIN
from pipelines.search.kept import Answered, Kept, Question
from pipelines.search.retrieval import Retrieval, run
from pipelines.search.stages import SHOWING


class Pages:
    """Keeps the next page of an answer to a text beside the answers that were given."""

    def __init__(self, kept: Kept, hidden_now: Callable[[], Awaitable[frozenset[str]]]):
        self._kept = kept
        self._hidden_now = hidden_now
        self._ahead = Ahead()

    def prepare(
        self, question: Question, answered: Answered, asked: Retrieval | None = None
    ) -> None:
        """Get the page after a full one ready, where the query wants that.

        It is cut from the ranking of `asked`, where that is known and reaches so far.
        """
        document, further = answered[0], question.next_page

        async def work() -> None:
            if len(document["results"]) < question.query.k or self._kept.has(further):
                return
            page = await cut_next(asked) if asked else None
            page = page or await further.view.searcher.answer(
                further.query,
                further.view.allowed,
                hidden_now=self._hidden_now,
                taste=further.taste,
            )
            # It is explained by the query that it goes on with.
            shown = as_document(page, document["query_id"])
            self._kept.keep(further, (shown, page.found))

        if question.query.prefetch:
            self._ahead.start(work)

    async def close(self) -> None:
        """Stop all work."""
        await self._ahead.close()


async def cut_next(asked: Retrieval) -> Retrieval | None:
    """Cut the page after an answer from the same ranking, by the ledger of now.

    `None` where that ranking does not reach so far, or is in order only as far as it was shown.
    """
    query = replace(asked.query, offset=asked.wanted)
    page = replace(asked, query=query, shown=(), results=[], trace=[])
    if query.diversity < PLAIN or len(asked.ranked) < page.wanted:
        return None
    return await run(page, SHOWING)

"""Looking further where a page lies beyond what is ranked: what is found goes on from there."""

from collections.abc import Sequence

from pipelines.search.retrieval import Retrieval, Stage
from pipelines.search.stages.widen import look_at_all


class Further:
    """Ranks more, after what was ranked before, until the page is full or all is found.

    What stands before is never ranked anew, so that pages continue one another.
    """

    name = "further"

    def __init__(self, again: Sequence[Stage]):
        self._again = again

    async def run(self, asked: Retrieval) -> None:
        """Look four times as far each time, by the plan `parallel`."""
        query, asked.query = asked.query, asked.worded
        asked.first = len(asked.ranked)
        while len(asked.ranked) < asked.wanted and _is_more_to_find(asked):
            asked.settled, asked.hits = asked.ranked, {}
            asked.depth += 1
            look_at_all(asked)
            for stage in self._again:
                with asked.part(stage.name):
                    await stage.run(asked)
        asked.query = query


def _is_more_to_find(asked: Retrieval) -> bool:
    if not asked.depth and asked.query.plan != "parallel":
        return True
    manifest = asked.searcher.manifest
    passages = manifest.passages.rows if manifest.passages else 0
    most = max((passages, *(channel.rows for channel in manifest.channels.values())))
    # Of fewer items than that, each channel brought all.
    return most > asked.rows and len(asked.ranked) >= asked.items

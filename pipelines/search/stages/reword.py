"""Asking once more in other words, where the first answer is weak."""

from collections.abc import Sequence
from dataclasses import replace

from pipelines.search.retrieval import Retrieval, Stage
from pipelines.search.words import terms

# Of the best score. Where more was found, other words answered labelled queries worse.
_WEAK = 0.05
_BETTER = 2.0


class Reword:
    """Asks with the words that carry meaning alone, when nothing was found with confidence.

    What answers better stays; the query then says in which words it was asked.
    """

    name = "reword"

    def __init__(self, again: Sequence[Stage]):
        self._again = again

    async def run(self, asked: Retrieval) -> None:
        """Try, and keep the better one."""
        text = asked.query.typed
        if text is None or asked.given is not None or _confidence(asked) >= _WEAK:
            return
        fewer = " ".join(word for word in text.split() if terms(word))
        if not fewer or fewer.lower() == text.lower():
            return
        other = replace(asked, query=replace(asked.query, text=fewer), hits={}, candidates=None)
        for stage in self._again:
            with asked.part(stage.name):
                await stage.run(other)
        if _confidence(other) >= _BETTER * _confidence(asked):
            asked.encoded, asked.hits = other.encoded, other.hits
            asked.similarities, asked.evidence = other.similarities, other.evidence
            asked.weights, asked.ranked, asked.reworded = other.weights, other.ranked, fewer


def _confidence(asked: Retrieval) -> float:
    return asked.ranked[0].score if asked.ranked else 0.0

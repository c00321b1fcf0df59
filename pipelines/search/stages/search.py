"""Asking the channels, by one of three plans; filters and rights hold before any cut."""

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import replace

from pipelines.search.engines.lance import both
from pipelines.search.engines.protocol import Allowed, Found
from pipelines.search.fusion.profiles import BM25
from pipelines.search.retrieval import Retrieval
from pipelines.tables.facts import equals_any


class Search:
    """Finds candidates.

    `parallel` asks every channel and BM25 at once. `filter_then_vector` lets BM25 choose, and the
    channels only score its choice; `ann_then_bm25` is the other way round. Where the first of the
    two finds fewer items than are wanted, the plan widens to `parallel` and says so.
    """

    name = "search"

    async def run(self, asked: Retrieval) -> None:
        """Leave what each channel found."""
        match asked.query.plan:
            case "filter_then_vector":
                await self._by_words_first(asked)
            case "ann_then_bm25":
                await self._by_vectors_first(asked)
            case _:
                await _gathered(asked, {**_vector_legs(asked), **_word_leg(asked, asked.allowed)})
        asked.widened |= any(found.widened for found in asked.hits.values())

    async def _by_words_first(self, asked: Retrieval) -> None:
        words = _word_leg(asked, asked.allowed)
        await _gathered(asked, words)
        chosen = asked.hits.get(BM25, Found())
        if len(chosen) < asked.wanted:
            # Without words there is nothing to choose by, which is not widening.
            asked.widened |= bool(words)
            await _gathered(asked, _vector_legs(asked))
            return
        legs = {
            name: asked.engine.similarity(name, probe.vector, chosen.keys())
            for name, probe in asked.encoded.probes.items()
        }
        await _gathered(asked, legs)

    async def _by_vectors_first(self, asked: Retrieval) -> None:
        await _gathered(asked, _vector_legs(asked))
        chosen = set[str]().union(*asked.hits.values())
        allowed = asked.allowed
        if len(chosen) < asked.wanted:
            asked.widened = True
        else:
            allowed = _among(allowed, chosen)
        await _gathered(asked, _word_leg(asked, allowed))


def _vector_legs(asked: Retrieval) -> dict[str, Awaitable[Found]]:
    engine = asked.engine
    return {
        name: engine.nearest(name, probe.vector, asked.allowed, asked.rows, asked.wanted)
        for name, probe in asked.encoded.probes.items()
    }


def _word_leg(asked: Retrieval, allowed: Allowed) -> dict[str, Awaitable[Found]]:
    words = asked.query.literal
    if not words or not asked.searcher.manifest.passages or not asked.query.asks(BM25):
        return {}
    return {BM25: asked.engine.match(words, allowed, asked.rows, asked.wanted)}


def _among(allowed: Allowed, item_ids: Collection[str]) -> Allowed:
    return replace(allowed, where=both(allowed.where, equals_any("item_id", item_ids)))


async def _gathered(asked: Retrieval, legs: Mapping[str, Awaitable[Found]]) -> None:
    async def timed(name: str, leg: Awaitable[Found]) -> None:
        with asked.part(name):
            asked.hits[name] = await leg

    await asyncio.gather(*(timed(name, leg) for name, leg in legs.items()))

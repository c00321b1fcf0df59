"""Asking the channels, by one of the plans; filters and rights hold before any cut."""

import asyncio
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import replace

import numpy as np

from pipelines.search.engines.found import Found
from pipelines.search.engines.lance import both
from pipelines.search.engines.protocol import Allowed
from pipelines.search.fusion.profiles import BM25
from pipelines.search.plans import by_domain, cheap_first
from pipelines.search.plans.look import Look
from pipelines.search.retrieval import Retrieval
from pipelines.tables.facts import equals_any


class Search:
    """Finds candidates.

    `parallel` asks every channel and BM25 at once. `filter_then_vector` lets BM25 choose, and the
    channels only score its choice; `ann_then_bm25` is the other way round. Where the first of the
    two finds fewer items than are wanted, the plan widens to `parallel` and says so. `cheap_first`
    asks fewer channels and `by_domain` fewer rows, for the step `widen` to ask the rest.
    """

    name = "search"

    async def run(self, asked: Retrieval) -> None:
        """Leave what each channel found, in the order of channels."""
        look = asked.look = asked.look or await _first_look(asked)
        probes = asked.encoded.probes
        kept = {name: probe for name, probe in probes.items() if name not in look.spared}
        asked.encoded = replace(asked.encoded, probes=kept)
        match asked.query.plan if not asked.depth else "parallel":
            case "filter_then_vector":
                await self._by_words_first(asked)
            case "ann_then_bm25":
                await self._by_vectors_first(asked)
            case _:
                await _gathered(asked, {**_vector_legs(asked), **_word_leg(asked, asked.allowed)})
        asked.hits = {name: asked.hits[name] for name in (*kept, BM25) if name in asked.hits}
        asked.widened |= any(found.widened for found in asked.hits.values())

    async def _by_words_first(self, asked: Retrieval) -> None:
        words = _word_leg(asked, asked.allowed)
        await _gathered(asked, words)
        chosen = asked.hits.get(BM25, Found())
        if len(chosen) < asked.query.k:
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
        if len(chosen) < asked.query.k:
            asked.widened = True
        else:
            allowed = _among(allowed, chosen)
        await _gathered(asked, _word_leg(asked, allowed))


async def _first_look(asked: Retrieval) -> Look:
    match asked.query.plan:
        case "cheap_first":
            return Look(spared=cheap_first.spared(asked))
        case "by_domain":
            return await by_domain.chosen(asked)
        case _:
            return Look()


def _vector_legs(asked: Retrieval) -> dict[str, Awaitable[Found]]:
    """Ask what was not asked before."""
    return {
        name: _nearest(asked, name, probe.vector)
        for name, probe in asked.encoded.probes.items()
        if name not in asked.hits
    }


def _word_leg(asked: Retrieval, allowed: Allowed) -> dict[str, Awaitable[Found]]:
    words = asked.query.literal
    if not words or not asked.asks_words or BM25 in asked.hits:
        return {}
    return {BM25: asked.engine.match(words, allowed, asked.rows, asked.items)}


async def _nearest(asked: Retrieval, channel: str, vector: np.ndarray) -> Found:
    assert asked.look is not None
    domains = asked.look.domains

    def ask(allowed: Allowed) -> Awaitable[Found]:
        return asked.engine.nearest(channel, vector, allowed, asked.rows, asked.items)

    if domains is None:
        return await ask(asked.allowed)
    there = await (await asked.searcher.router()).shards(channel, asked.allowed)
    if not by_domain.is_parted(asked, there):
        return await ask(asked.allowed)
    shards = [name for name in (*domains, None) if name in there]
    each = await asyncio.gather(*(ask(_within(asked.allowed, shard)) for shard in shards))
    best = Found()
    for shard, found in zip(shards, each, strict=True):
        if len(found) and shard is not None:
            asked.reached.add(shard)
        best.add(found)
        best.widened |= found.widened
    return best


def _within(allowed: Allowed, domain: str | None) -> Allowed:
    here = equals_any("domain", [domain]) if domain is not None else "domain IS NULL"
    return replace(allowed, where=both(allowed.where, here))


def _among(allowed: Allowed, item_ids: Collection[str]) -> Allowed:
    return replace(allowed, where=both(allowed.where, equals_any("item_id", item_ids)))


async def _gathered(asked: Retrieval, legs: Mapping[str, Awaitable[Found]]) -> None:
    async def timed(name: str, leg: Awaitable[Found]) -> None:
        with asked.part(name):
            asked.hits[name] = await leg

    await asyncio.gather(*(timed(name, leg) for name, leg in legs.items()))

"""Asking one release: every present channel at once, filters before the cut, one fused list."""

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from pipelines.errors import BadInput, ModelUnavailable
from pipelines.progress import LOGGER
from pipelines.releases.manifest import Manifest
from pipelines.search.encoding import ChannelEncoders, Encoded
from pipelines.search.filters import compile_filter
from pipelines.search.profiles import BM25
from pipelines.search.query import Query
from pipelines.search.ranking import Answer, Hit, Hits, rank
from pipelines.store import Store
from pipelines.tables.facts import equals_any

CANDIDATES = 200
NPROBES = 20
REFINE = 2
_TIMEOUT = dt.timedelta(seconds=10)
_PLACE = ["item_id", "uri", "title", "kind", "segment", "page", "start_s", "end_s"]


class Searcher:
    """Answers queries from the exact table versions of one release.

    To be used within one event loop, by any number of tasks.
    """

    def __init__(self, store: Store, manifest: Manifest):
        self.manifest = manifest
        self._store = store
        self._encoders = ChannelEncoders(manifest.channels)
        self.tables: dict[str, Any] = {}
        self._opening = asyncio.Lock()

    async def search(self, query: Query, hidden: str | None = None) -> Answer:
        """Answer one query without the rows for which the condition `hidden` does not hold.

        Raises InvalidFilter for a filter that is not allowed, BadInput for an unknown profile and
        where nothing is left to ask with.
        """
        asked = compile_filter(query.where) if query.where else None
        encoded = await asyncio.to_thread(self.encode, query)
        return await self.ranked(query, encoded, _both(asked, hidden))

    async def ranked(self, query: Query, encoded: Encoded, where: str | None = None) -> Answer:
        """Answer an encoded query; `where` is a compiled filter."""
        hits = await self._hits(query, encoded, where, max(CANDIDATES, 4 * query.k))
        return rank(self.manifest, query, encoded, hits)

    async def rankings(self, query: Query, hidden: str | None = None) -> dict[str, list[str]]:
        """Return item ids, best first, by the fused score and by every channel alone."""
        encoded = self.encode(query)
        hits = await self._hits(query, encoded, hidden, max(CANDIDATES, query.k))
        alone = {
            name: sorted(items, key=lambda item: (-items[item].value, item))[: query.k]
            for name, items in hits.items()
        }
        fused = rank(self.manifest, query, encoded, hits).ranked
        return {"fused": [entry.item_id for entry in fused], **alone}

    def encode(self, query: Query) -> Encoded:
        """Encode a query once for each channel that is asked.

        Raises BadInput, with the reasons, where there is nothing left to ask with.
        """
        encoded = self._encoders.encode(query)
        encoded.degraded[:0] = query.degraded
        if not encoded.probes and not (query.literal and self.manifest.passages):
            reasons = [f"{each.name}: {each.reason}" for each in encoded.degraded]
            if reasons or not query.words:
                raise BadInput("; ".join(["nothing is left to ask this release with", *reasons]))
        return encoded

    async def _hits(self, query: Query, encoded: Encoded, where: str | None, depth: int) -> Hits:
        """Search all channels at once.

        Items found in one channel are scored in the others too, so that a low similarity is not
        mistaken for a channel that the item does not have.
        """
        await self.open()
        vectors = {name: probe.vector for name, probe in encoded.probes.items()}
        names = list(vectors)
        searches = [self._nearest(name, vectors[name], where, depth, query.k) for name in names]
        if query.literal and BM25 in self.tables:
            names.append(BM25)
            searches.append(self._match(query.literal, where, depth, query.k))
        hits = dict(zip(names, await asyncio.gather(*searches), strict=True))
        found = set().union(*hits.values()) if hits else set()
        cut = [
            n for n in vectors if self.manifest.channels[n].rows > depth and found - hits[n].keys()
        ]
        missing = [
            self._nearest(
                name, vectors[name], equals_any("item_id", found - hits[name].keys()), None
            )
            for name in cut
        ]
        for name, more in zip(cut, await asyncio.gather(*missing), strict=True):
            hits[name] |= more
        return hits

    async def open(self) -> None:
        """Open every table at the release's version, once."""
        async with self._opening:
            if self.tables:
                return
            import lancedb

            database = await lancedb.connect_async(
                self._store.search_root, storage_options=self._store.storage_options
            )
            versions = {name: (c.table, c.version) for name, c in self.manifest.channels.items()}
            if self.manifest.passages:
                versions[BM25] = (self.manifest.passages.table, self.manifest.passages.version)
            tables = {}
            for name, (table, version) in versions.items():
                tables[name] = await database.open_table(table)
                await tables[name].checkout(version)
            self.tables = tables

    async def warm(self) -> None:
        """Open every table, load every encoder, and ask each table once.

        A channel whose model cannot be had is left out of answers until it can. Raises
        ModelUnavailable where that leaves nothing to search by.
        """
        await self.open()
        identities = await asyncio.to_thread(self._encoders.load)
        missing = sorted(self.manifest.channels.keys() - identities.keys())
        if missing and not identities and BM25 not in self.tables:
            raise ModelUnavailable(f"no model of this release can be had: {', '.join(missing)}")
        if missing:
            told = "release %s answers without %s"
            logging.getLogger(LOGGER).warning(told, self.manifest.release, ", ".join(missing))
        asked = [
            self._nearest(name, np.ones(identity.dimension, np.float32), None, 1)
            for name, identity in identities.items()
        ]
        await asyncio.gather(*asked, *([self._match("a", None, 1)] if BM25 in self.tables else []))

    async def _nearest(
        self, name: str, vector: np.ndarray, where: str | None, depth: int | None, items: int = 1
    ) -> dict[str, Hit]:
        """Return the best row of each item by cosine similarity; `depth` is in rows."""
        channel = self.manifest.channels[name]
        limit = min(depth, channel.rows) if depth else channel.rows

        async def ask(where: str | None) -> Any:
            query = self.tables[name].vector_search(vector).column("vector")
            query = query.distance_type("cosine")
            if depth is None:
                query = query.bypass_vector_index()
            elif channel.indexed:
                query = query.nprobes(NPROBES).refine_factor(REFINE)
            query = query.limit(limit).select([*_PLACE, "_distance"])
            return await (query.where(where) if where else query).to_arrow(timeout=_TIMEOUT)

        return await _by_item(ask, where, limit, items, lambda t: 1.0 - t["_distance"].to_numpy())

    async def _match(
        self, text: str, where: str | None, depth: int, items: int = 1
    ) -> dict[str, Hit]:
        """Return the best passage of each item by BM25; `depth` is in rows."""

        async def ask(where: str | None) -> Any:
            query = self.tables[BM25].query().nearest_to_text(text, columns=["text"])
            query = query.limit(depth).select([*_PLACE, "_score"])
            return await (query.where(where) if where else query).to_arrow(timeout=_TIMEOUT)

        return await _by_item(ask, where, depth, items, lambda t: t["_score"].to_numpy())


async def _by_item(
    ask: Callable[[str | None], Awaitable[Any]],
    where: str | None,
    limit: int,
    items: int,
    values: Callable[[Any], np.ndarray],
) -> dict[str, Hit]:
    """Return the best row of at least so many items, where there are as many.

    A long film has thousands of rows: while these alone fill the answer, it is asked for again
    without the items that were found.
    """
    best: dict[str, Hit] = {}
    while True:
        found = await ask(_both(where, f"NOT ({equals_any('item_id', best)})" if best else None))
        best |= _best(found, values(found))
        if len(best) >= items or len(found) < limit:
            return best


def _both(*conditions: str | None) -> str | None:
    return " AND ".join(f"({each})" for each in conditions if each) or None


def _best(found: Any, values: np.ndarray) -> dict[str, Hit]:
    best: dict[str, Hit] = {}
    ids = found["item_id"].to_pylist()
    for position, (item_id, value) in enumerate(zip(ids, values.tolist(), strict=True)):
        if item_id not in best or value > best[item_id].value:
            best[item_id] = Hit(value, found, position)
    return best

"""The engine on disk: the exact table versions of one release in LanceDB."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import numpy as np

from pipelines.ledger import hidden_by
from pipelines.releases.manifest import Manifest
from pipelines.search.engines.protocol import PLACE, Allowed, Found
from pipelines.search.fusion.profiles import BM25
from pipelines.store import Store
from pipelines.tables.facts import equals_any

_TIMEOUT = dt.timedelta(seconds=10)

Ask = Callable[[str | None], Awaitable[Any]]


class LanceEngine:
    """Finds rows in tables that are checked out at a release's versions, with some `columns`."""

    def __init__(self, store: Store, manifest: Manifest):
        self.manifest = manifest
        self._store = store
        self.tables: dict[str, Any] = {}
        self.columns: frozenset[str] = frozenset()
        self._opening = asyncio.Lock()

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
            if tables:
                # Attributes are the same in all of them.
                self.columns = frozenset((await next(iter(tables.values())).schema()).names)
            self.tables = tables

    async def nearest(
        self, channel: str, vector: np.ndarray, allowed: Allowed, rows: int, items: int = 1
    ) -> Found:
        """As in `Engine`."""
        version = self.manifest.channels[channel]
        limit = min(rows, version.rows)

        async def ask(where: str | None, exact: bool = False) -> Any:
            query = self._near(channel, vector, where)
            if exact or not version.indexed:
                query = query.bypass_vector_index()
            else:
                query = query.nprobes(version.nprobes).refine_factor(version.refine)
            return await query.limit(limit).to_arrow(timeout=_TIMEOUT)

        where = condition(allowed)
        found = await _of_items(ask, where, limit, items, _cosine)
        if len(found) < items and version.indexed:
            # A narrow filter leaves little in the partitions that the index looks into.
            best = await _of_items(lambda each: ask(each, True), where, limit, items, _cosine)
            best.widened = len(best) > len(found)
            return best
        return found

    async def similarity(
        self, channel: str, vector: np.ndarray, item_ids: Collection[str]
    ) -> Found:
        """As in `Engine`."""
        query = self._near(channel, vector, equals_any("item_id", item_ids)).bypass_vector_index()
        limit = self.manifest.channels[channel].rows
        found = await query.limit(limit).to_arrow(timeout=_TIMEOUT)
        return best_rows(found, _cosine(found))

    async def match(self, text: str, allowed: Allowed, rows: int, items: int = 1) -> Found:
        """As in `Engine`; the rows have their `text` too."""
        if BM25 not in self.tables:
            return Found()

        async def ask(where: str | None) -> Any:
            query = self.tables[BM25].query().nearest_to_text(text, columns=["text"])
            query = query.limit(rows).select([*PLACE, "text", "_score"])
            return await (query.where(where) if where else query).to_arrow(timeout=_TIMEOUT)

        return await _of_items(
            ask, condition(allowed), rows, items, lambda found: found["_score"].to_numpy()
        )

    async def vectors(self, channel: str, item_ids: Collection[str]) -> dict[str, np.ndarray]:
        """Return what a channel has of some items: (rows, dimension) by item id."""
        query = self.tables[channel].query().where(equals_any("item_id", item_ids))
        found = await query.select(["item_id", "vector"]).to_arrow(timeout=_TIMEOUT)
        rows: dict[str, list[np.ndarray]] = {}
        for item_id, vector in zip(
            found["item_id"].to_pylist(), found["vector"].to_pylist(), strict=True
        ):
            rows.setdefault(item_id, []).append(np.asarray(vector, np.float32))
        return {item_id: np.stack(vectors) for item_id, vectors in rows.items()}

    async def texts(self, item_ids: Collection[str], most: int) -> dict[str, list[str]]:
        """Return up to `most` redacted passages of some items, by item id."""
        texts: dict[str, list[str]] = {}
        if item_ids and BM25 in self.tables:
            query = self.tables[BM25].query().where(equals_any("item_id", item_ids)).limit(most)
            found = await query.select(["item_id", "text"]).to_arrow(timeout=_TIMEOUT)
            for row in found.to_pylist():
                texts.setdefault(row["item_id"], []).append(row["text"])
        return texts

    def _near(self, channel: str, vector: np.ndarray, where: str | None) -> Any:
        query = self.tables[channel].vector_search(vector).column("vector")
        query = query.distance_type("cosine").select([*PLACE, "_distance"])
        return query.where(where) if where else query


def condition(allowed: Allowed) -> str | None:
    """Write as one SQL condition which rows may answer."""
    return both(allowed.where, hidden_by(allowed.hidden))


def both(*conditions: str | None) -> str | None:
    """Join conditions that must all hold; `None` stands for no condition."""
    return " AND ".join(f"({each})" for each in conditions if each) or None


def best_rows(found: Any, values: np.ndarray) -> Found:
    """Return the best row of each item in an Arrow table with the columns `PLACE`."""
    ids = found["item_id"].to_pylist()
    best: dict[str, int] = {}
    for position in np.argsort(-values, kind="stable").tolist():
        best.setdefault(ids[position], position)
    positions = np.fromiter(best.values(), np.int64, len(best))
    return Found(best.keys(), values[positions], found, positions)


def _cosine(found: Any) -> np.ndarray:
    return 1.0 - found["_distance"].to_numpy()


async def _of_items(
    ask: Ask, where: str | None, limit: int, items: int, values: Callable[[Any], np.ndarray]
) -> Found:
    """Return the best row of at least so many items, where there are as many.

    A long film has thousands of rows: while these alone fill the answer, it is asked for again
    without the items that were found.
    """
    best = Found()
    while True:
        found = await ask(both(where, hidden_by(best)))
        best.add(best_rows(found, values(found)))
        if len(best) >= items or len(found) < limit:
            return best

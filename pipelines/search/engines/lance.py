"""The engine on disk: the exact table versions of one release in LanceDB."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.ledger import hidden_by
from pipelines.releases.manifest import Manifest
from pipelines.search.engines.found import Found
from pipelines.search.engines.protocol import PLACE, Allowed
from pipelines.search.fusion.profiles import BM25
from pipelines.store import Store
from pipelines.tables.facts import equals_any
from pipelines.tables.vectors import matrix

_TIMEOUT = dt.timedelta(seconds=10)
_BATCH = 8_192
_ROW = pa.schema([("item_id", pa.string()), ("_rowid", pa.uint64())])

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
        query = self.tables[channel].query().where(equals_any("item_id", item_ids))
        query = query.select(["item_id", "vector"]).with_row_id()
        pieces, values = [], [np.zeros(0)]
        # Read in pieces, for films have thousands of rows.
        async for batch in await query.to_batches(max_batch_length=_BATCH, timeout=_TIMEOUT):
            pieces.append(batch.select(_ROW.names))
            values.append(_cosines(matrix(batch["vector"]), vector))
        return best_rows(pa.Table.from_batches(pieces, _ROW), np.concatenate(values))

    async def match(self, text: str, allowed: Allowed, rows: int, items: int = 1) -> Found:
        """As in `Engine`."""
        if BM25 not in self.tables:
            return Found()

        async def ask(where: str | None) -> Any:
            query = self.tables[BM25].query().nearest_to_text(text, columns=["text"])
            query = query.limit(rows).select(["item_id", "_score"]).with_row_id()
            return await (query.where(where) if where else query).to_arrow(timeout=_TIMEOUT)

        return await _of_items(
            ask, condition(allowed), rows, items, lambda found: found["_score"].to_numpy()
        )

    async def told(self, channel: str, rows: Sequence[int]) -> list[dict[str, Any]]:
        """As in `Engine`."""
        columns = [*PLACE, *(["text"] if channel == BM25 else [])]
        taken = self.tables[channel].take_row_ids([*rows]).select(columns).with_row_id()
        found = (await taken.to_arrow(timeout=_TIMEOUT)).to_pylist()
        known = {row.pop("_rowid"): row for row in found}
        return [known[row] for row in rows]

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
        query = query.distance_type("cosine").select(["item_id", "_distance"]).with_row_id()
        return query.where(where) if where else query


def condition(allowed: Allowed) -> str | None:
    """Write as one SQL condition which rows may answer."""
    return both(allowed.where, hidden_by(allowed.hidden))


def both(*conditions: str | None) -> str | None:
    """Join conditions that must all hold; `None` stands for no condition."""
    return " AND ".join(f"({each})" for each in conditions if each) or None


def matching(facts: pa.Table, where: str) -> set[str]:
    """Return the ids of those of some facts that a compiled filter matches.

    Filters read JSON, which the tables of facts hold as text and Delta cannot look into.
    """
    import lance

    extra = facts["extra"].cast(pa.json_())
    rows = facts.set_column(facts.schema.get_field_index("extra"), "extra", extra)
    found = lance.write_dataset(rows, "memory://").to_table(columns=["item_id"], filter=where)
    return set(found["item_id"].to_pylist())


def best_rows(found: pa.Table, values: np.ndarray) -> Found:
    """Return the best row of each item, of rows with their values; NaN is like no other."""
    ids = found["item_id"].to_pylist()
    best: dict[str, int] = {}
    usable = np.flatnonzero(~np.isnan(values))
    for position in usable[np.argsort(-values[usable], kind="stable")].tolist():
        best.setdefault(ids[position], position)
    positions = np.fromiter(best.values(), np.int64, len(best))
    return Found.of([*best], values[positions], found["_rowid"].to_numpy()[positions])


def _cosine(found: pa.Table) -> np.ndarray:
    return 1.0 - found["_distance"].to_numpy()


def _cosines(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return how like vectors, (rows, width), are to one; NaN where one has no direction."""
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
        return vectors @ vector / lengths


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

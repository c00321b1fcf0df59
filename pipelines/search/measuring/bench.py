"""The bench on which vector indexes are measured: a scratch table, queries, true neighbours.

The table holds vectors and nothing that names an item.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.search.measuring.neighbours import NEIGHBOURS, blocks, bounds, recall
from pipelines.search.retrieval import CANDIDATES
from pipelines.tables.indexes import AskedIndex, VectorIndex, index_bytes

TARGET = 0.95
"""Recall@10 that is to be had, also of the rows that a filter leaves."""
PERCENTS = (100, 10, 1)
"""Of the rows, what may answer: all, and what filters leave."""

_ROUNDS = 3
_TIMEOUT = dt.timedelta(seconds=30)
_SEED = 11

_Ask = Callable[..., Awaitable[np.ndarray]]


class Point(AskedIndex, frozen=True):
    """One index, asked in one way: recall@10 and milliseconds, also of the rows a filter leaves.

    `rows_10` and `rows_1` are how many of 10 neighbours came back at least, where a filter leaves
    10 and 1 percent; not asked, `None`, once less than `TARGET` was found of more rows.
    Milliseconds are those of all rows, a query's by the median of some rounds.
    """

    recall: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    recall_10: float | None = None
    rows_10: int | None = None
    recall_1: float | None = None
    rows_1: int | None = None
    build_s: float
    bytes: int

    @property
    def worst(self) -> float:
        """The least recall, of all rows and of what filters leave."""
        found = (self.recall, self.recall_10, self.recall_1)
        return min(each for each in found if each is not None)


@dataclass(frozen=True)
class _Built:
    version: int
    seconds: float
    bytes: int


class Questions:
    """Queries, (n, width), and how far their true neighbours are by percent of rows allowed."""

    def __init__(self, queries: np.ndarray, vectors: np.ndarray, slots: np.ndarray):
        self.queries = queries
        self.counts = {each: min(NEIGHBOURS, int((slots < each).sum())) for each in PERCENTS}
        self.bounds = {
            percent: bounds(blocks(vectors[slots < percent]), queries, count)
            for percent, count in self.counts.items()
        }


class Bench:
    """A scratch table of `vectors`, (rows, width), in a folder that is the caller's to remove.

    Every other query is for choosing; the rest is held out.
    """

    def __init__(self, folder: Path, vectors: np.ndarray, queries: np.ndarray):
        import lancedb

        self.rows = len(vectors)
        self._uri = str(folder.resolve())
        self._built: dict[str, _Built] = {}
        # By slot any percentage of the rows can be allowed.
        slots = np.random.default_rng(_SEED).permutation(len(vectors)) % 100
        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        data = pa.table({"vector": values, "slot": pa.array(slots, pa.int8())})
        self._table = lancedb.connect(self._uri).create_table("scratch", data)
        self._table.create_index("slot", config=lancedb.index.BTree())
        self.choosing = Questions(queries[::2], vectors, slots)
        self.held_out = Questions(queries[1::2], vectors, slots)

    def build(self, index: VectorIndex) -> None:
        """Build an index; those built before stay, each in its version of the table."""
        started = time.perf_counter()
        index.build(self._table)
        seconds = time.perf_counter() - started
        self._built[_name(index)] = _Built(self._table.version, seconds, index_bytes(self._table))

    def measure(
        self,
        asked: Sequence[AskedIndex],
        questions: Questions,
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Point]:
        """Ask indexes that were built, one query after the other; `report` gets (done, total).

        Latencies are taken in rounds over all of them, so that a slow moment of the machine meets
        each, and a query's is its median over the rounds.
        """
        return asyncio.run(self._measure(asked, questions, report))

    async def _measure(
        self,
        asked: Sequence[AskedIndex],
        questions: Questions,
        report: Callable[[int, int], None],
    ) -> list[Point]:
        import lancedb

        database = await lancedb.connect_async(self._uri)
        asks = [await self._ask(database, each) for each in asked]
        total = len(asks) * (1 + _ROUNDS)
        found = []
        for ask in asks:
            found.append(await _found(ask, questions))
            report(len(found), total)
        times = np.zeros((_ROUNDS, len(asks), len(questions.queries)))
        for done, (taken, number) in enumerate(np.ndindex(times.shape[:2]), start=len(asks) + 1):
            times[taken, number] = [await _ms(asks[number](each)) for each in questions.queries]
            report(done, total)
        percentiles = np.percentile(np.median(times, axis=0), [50, 95, 99], axis=1).T.tolist()
        return [
            self._point(each, shares, *taken)
            for each, shares, taken in zip(asked, found, percentiles, strict=True)
        ]

    def _point(
        self, asked: AskedIndex, found: dict[str, Any], p50: float, p95: float, p99: float
    ) -> Point:
        built = self._built[_name(asked)]
        return Point(
            **asked.model_dump(include=set(AskedIndex.model_fields)),
            **found,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            build_s=built.seconds,
            bytes=built.bytes,
        )

    async def _ask(self, database: Any, asked: AskedIndex) -> _Ask:
        table = await database.open_table("scratch")
        await table.checkout(self._built[_name(asked)].version)

        async def ask(query: np.ndarray, percent: int = 100) -> np.ndarray:
            search = table.vector_search(query).column("vector").distance_type("cosine")
            if asked.index != "exact":
                search = search.nprobes(asked.nprobes).refine_factor(asked.refine)
            if percent < 100:
                search = search.where(f"slot < {percent}")
            rows = search.limit(CANDIDATES).select(["_distance"])
            return (await rows.to_arrow(timeout=_TIMEOUT))["_distance"].to_numpy()

        return ask


async def _found(ask: _Ask, questions: Questions) -> dict[str, Any]:
    """Return recall, and how many rows came back, by the names that a point has for them."""
    told: dict[str, Any] = {}
    for percent, count in questions.counts.items():
        ending = "" if percent == 100 else f"_{percent}"
        found = [await ask(query, percent) for query in questions.queries]
        pairs = zip(found, questions.bounds[percent], strict=True)
        told["recall" + ending] = np.mean([recall(each, bound, count) for each, bound in pairs])
        if percent < 100:
            told["rows" + ending] = min(min(len(each), NEIGHBOURS) for each in found)
        if told["recall" + ending] < TARGET:
            break
    return told


async def _ms(answer: Awaitable[np.ndarray]) -> float:
    started = time.perf_counter()
    await answer
    return 1000 * (time.perf_counter() - started)


def _name(index: VectorIndex) -> str:
    return index.model_dump_json(include=set(VectorIndex.model_fields))

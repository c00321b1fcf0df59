"""A release's vectors in memory, within a budget; what does not fit is asked for below."""

import asyncio
import datetime as dt
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa

from pipelines.search.engines.held import HeldChannel, bytes_of
from pipelines.search.engines.lance import LanceEngine
from pipelines.search.engines.protocol import PLACE, Allowed, Found
from pipelines.search.engines.rows import Rows
from pipelines.search.engines.vectors import Selection

_BATCH = 8_192
_TIMEOUT = dt.timedelta(seconds=10)

P = ParamSpec("P")
T = TypeVar("T")


class Mirror:
    """An engine that answers from memory for the channels that it `covers`.

    For the others, and for passages, it asks the engine `below`. Similarities agree with it to
    1e-3: vectors are held at half precision.
    """

    def __init__(self, below: LanceEngine, held: dict[str, HeldChannel]):
        self.below = below
        self.held = held

    @classmethod
    async def built(
        cls, below: LanceEngine, budget_bytes: int, before: "Mirror | None" = None
    ) -> "Mirror":
        """Read the channels of an opened engine into memory, as many as the budget holds.

        The smallest come first: on disk a channel costs a query about as much whatever its size,
        so what serves most queries is to hold as many as possible. Channels that `before` holds at
        the same version are taken over.
        """
        held: dict[str, HeldChannel] = {}
        left = budget_bytes
        channels = below.manifest.channels
        for name in sorted(channels, key=lambda name: (channels[name].rows, name)):
            known = before._same(below, name) if before else None
            channel = known or await _read(below.tables[name], left)
            if channel and channel.nbytes <= left:
                held[name] = channel
                left -= channel.nbytes
        return cls(below, held)

    def _same(self, other: LanceEngine, name: str) -> HeldChannel | None:
        mine, theirs = (each.manifest.channels.get(name) for each in (self.below, other))
        same = mine and theirs and (mine.table, mine.version) == (theirs.table, theirs.version)
        return self.held.get(name) if same else None

    @property
    def covers(self) -> set[str]:
        """The channels that are answered from memory."""
        return set(self.held)

    @property
    def nbytes(self) -> int:
        """What is held, in bytes."""
        return sum(channel.nbytes for channel in self.held.values())

    async def nearest(
        self, channel: str, vector: np.ndarray, allowed: Allowed, rows: int, items: int = 1
    ) -> Found:
        """As in `Engine`."""
        if channel not in self.held:
            return await self.below.nearest(channel, vector, allowed, rows, items)
        selection = await self._selection(channel, allowed)
        return await _beside(self.held[channel].nearest, vector, selection, rows, items)

    async def similarity(
        self, channel: str, vector: np.ndarray, item_ids: Collection[str]
    ) -> Found:
        """As in `Engine`."""
        if channel not in self.held:
            return await self.below.similarity(channel, vector, item_ids)
        return await _beside(self.held[channel].similarity, vector, item_ids)

    async def match(self, text: str, allowed: Allowed, rows: int, items: int = 1) -> Found:
        """As in `Engine`."""
        return await self.below.match(text, allowed, rows, items)

    async def _selection(self, channel: str, allowed: Allowed) -> Selection:
        """Return the rows that are allowed; a filter means what it means to LanceDB."""
        held = self.held[channel]
        if allowed == Allowed():
            return held.every
        if (known := held.selections.get(allowed)) is not None:
            return known
        if allowed.hidden:
            before = await self._selection(channel, Allowed(allowed.where))
            selection = await _beside(held.without, before, allowed.hidden)
        else:
            query = self.below.tables[channel].query().where(allowed.where)
            found = await query.select([]).with_row_id().to_arrow(timeout=_TIMEOUT)
            selection = await _beside(held.selected, found["_rowid"].to_numpy())
        held.selections[allowed] = selection
        return selection


async def _read(table: Any, budget_bytes: int) -> HeldChannel | None:
    """Read a table of vectors, or nothing where it does not fit."""
    dimension = (await table.schema()).field("vector").type.list_size
    if 2 * dimension * await table.count_rows() > budget_bytes:
        return None
    place = await table.query().select([*PLACE]).with_row_id().to_arrow()
    rows = await asyncio.to_thread(Rows, place)
    if bytes_of(rows, dimension) > budget_bytes:
        return None
    vectors = np.zeros((len(rows), dimension), np.float16)
    query = table.query().select(["vector"]).with_row_id()
    async for batch in await query.to_batches(max_batch_length=_BATCH):
        await asyncio.to_thread(_fill, vectors, rows, batch)
    return await asyncio.to_thread(HeldChannel, rows, vectors)


def _fill(vectors: np.ndarray, rows: Rows, batch: pa.RecordBatch) -> None:
    """Put a batch's vectors, at length one, where their rows are."""
    found = batch["vector"].flatten().to_numpy().reshape(-1, vectors.shape[1])
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    vectors[rows.at(batch["_rowid"].to_numpy())] = found / np.where(lengths > 0, lengths, 1)


@cache
def _threads() -> ThreadPoolExecutor:
    """A thread a core; a query has one, and what faiss does for it stays in there."""

    def alone() -> None:
        import faiss

        faiss.omp_set_num_threads(1)

    return ThreadPoolExecutor(os.cpu_count(), "mirror", alone)


async def _beside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do some work beside the event loop, which milliseconds of it would hold up."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads(), partial(work, *args, **kwargs))

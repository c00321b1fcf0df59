"""A release's vectors in memory, within a budget; what does not fit is asked for below."""

import asyncio
import datetime as dt
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa

from pipelines.releases.manifest import Manifest
from pipelines.search.engines.found import Found
from pipelines.search.engines.held import Held, HeldChannel
from pipelines.search.engines.lance import LanceEngine
from pipelines.search.engines.protocol import PLACE, Allowed
from pipelines.search.engines.rows import MARK, Numbers, Rows
from pipelines.search.engines.words import HeldPassages, Word
from pipelines.search.fusion.profiles import BM25
from pipelines.tables.vectors import matrix, unit

_BATCH = 8_192
_LEAST_BYTES = 256  # a passage
_NEW_WORDS = 8  # Of more at once, LanceDB finds the best passages faster than all that match.
_AGAIN_S = 0.3
_AT_ONCE = 8
_TOLD = (*PLACE, "text")
_TIMEOUT = dt.timedelta(seconds=10)

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


class Mirror:
    """An engine that answers from memory for what it `covers`, and asks the one `below` else.

    Its filters and words mean what they mean to LanceDB, which is asked for those that are new.
    Similarities agree to 1e-3: vectors are held at half precision. What takes about a millisecond
    is done at once: handing it to a thread takes as long, and waits for the interpreter besides.
    """

    def __init__(
        self, below: LanceEngine, held: dict[str, HeldChannel], passages: HeldPassages | None
    ):
        self.below = below
        self.held = held
        self.passages = passages

    @classmethod
    async def built(
        cls, below: LanceEngine, budget_bytes: int, before: "Mirror | None" = None
    ) -> "Mirror":
        """Read an opened engine's tables into memory, as many as the budget holds.

        Passages come first, for most queries have words. Then the smallest channels: on disk one
        costs a query about as much whatever its size, so most are served by holding as many as
        possible. What `before` holds is taken over, of other versions the rows that stayed.
        """
        left = budget_bytes
        known = await before._carried_over(below) if before else {}
        passages = known.pop(BM25, None)
        if passages is None and BM25 in below.tables:
            passages = await _read_passages(below.tables[BM25], left)
        if passages and passages.nbytes > left:
            passages = None
        left -= passages.nbytes if passages else 0
        held: dict[str, HeldChannel] = {}
        channels = below.manifest.channels
        for name in sorted(channels, key=lambda name: (channels[name].rows, name)):
            channel = known.get(name) or await _read_channel(below.tables[name], left)
            if channel and channel.nbytes <= left:
                held[name] = channel
                left -= channel.nbytes
        mirror = cls(below, held, passages)
        if before:
            await mirror._ask_again(before)
        return mirror

    async def _ask_again(self, before: "Mirror") -> None:
        """Have ready the filters and words that were asked for, as many as a short time allows."""
        work: list[Callable[[], Awaitable[Any]]] = []
        for name, held in self.held.items():
            if (known := before.held.get(name)) is not None and known is not held:
                table = self.below.tables[name]
                work += [partial(_selection, held, table, each) for each in [*known.selections]]
        new, old = self.passages, before.passages
        if new and old and new is not old:
            table, words = self.below.tables[BM25], reversed([*old.words])
            work += [partial(_selection, new, table, each) for each in [*old.selections]]
            work += [partial(_word, new, table, each) for each in words]
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGAIN_S):
                for start in range(0, len(work), _AT_ONCE):
                    await asyncio.gather(*(ask() for ask in work[start : start + _AT_ONCE]))

    async def _carried_over(self, below: LanceEngine) -> dict[str, Any]:
        """Return what is held of the same tables, passages as `bm25`; only new rows are read."""

        async def carried(name: str, held: HeldChannel | HeldPassages) -> Any:
            mine, theirs = (_stands(each.manifest, name) for each in (self.below, below))
            if mine is None or theirs is None or mine[0] != theirs[0]:
                return None
            return held if mine == theirs else await _read_changes(below.tables[name], held)

        held: dict[str, HeldChannel | HeldPassages] = {**self.held}
        if self.passages:
            held[BM25] = self.passages
        found = await asyncio.gather(*(carried(name, each) for name, each in held.items()))
        return {name: each for name, each in zip(held, found, strict=True) if each}

    @property
    def covers(self) -> set[str]:
        """The channels that are answered from memory, passages as `bm25`."""
        return {*self.held, *([BM25] if self.passages else [])}

    @property
    def nbytes(self) -> int:
        """What is held, in bytes."""
        passages = self.passages.nbytes if self.passages else 0
        return passages + sum(channel.nbytes for channel in self.held.values())

    async def nearest(
        self, channel: str, vector: np.ndarray, allowed: Allowed, rows: int, items: int = 1
    ) -> Found:
        """As in `Engine`."""
        if (held := self.held.get(channel)) is None:
            return await self.below.nearest(channel, vector, allowed, rows, items)
        selection = await _selection(held, self.below.tables[channel], allowed)
        return held.nearest(vector, selection, rows, items)

    async def similarity(
        self, channel: str, vector: np.ndarray, item_ids: Collection[str]
    ) -> Found:
        """As in `Engine`."""
        if (held := self.held.get(channel)) is None:
            return await self.below.similarity(channel, vector, item_ids)
        return held.similarity(vector, item_ids)

    async def match(self, text: str, allowed: Allowed, rows: int, items: int = 1) -> Found:
        """As in `Engine`."""
        words = text.split()
        held = self.passages
        if held is None:
            return await self.below.match(text, allowed, rows, items)
        if len(set(words) - held.words.keys()) > _NEW_WORDS:
            return held.rows.numbered(await self.below.match(text, allowed, rows, items))
        table = self.below.tables[BM25]
        known = {word: await _word(held, table, word) for word in set(words)}
        selection = await _selection(held, table, allowed)
        return held.match([known[each] for each in words], selection, rows, items)

    async def told(self, channel: str, rows: Sequence[int]) -> list[dict[str, Any]]:
        """As in `Engine`."""
        held = self.passages if channel == BM25 else self.held.get(channel)
        if held is None:
            return await self.below.told(channel, rows)
        return held.rows.told(rows)


async def _selection(held: Held[S], table: Any, allowed: Allowed) -> S:
    """Return the rows that are allowed, by asking the table for each filter once."""
    if allowed == Allowed():
        return held.every
    if (known := held.selections.get(allowed)) is not None:
        return known
    if allowed.hidden:
        before = await _selection(held, table, Allowed(allowed.where))
        selection = await _beside(held.without, before, allowed.hidden)
    else:
        query = table.query().where(allowed.where).select([]).with_row_id()
        found = await query.to_arrow(timeout=_TIMEOUT)
        selection = await _beside(held.selected, found["_rowid"].to_numpy())
    held.selections[allowed] = selection
    return selection


async def _word(held: HeldPassages, table: Any, word: str) -> Word:
    """Return what a word scores alone, by asking the table once."""
    if (known := held.words.get(word)) is not None:
        return known
    query = table.query().nearest_to_text(word, columns=["text"]).limit(len(held))
    found = await query.select(["_score"]).with_row_id().to_arrow(timeout=_TIMEOUT)
    scores = found["_score"].to_numpy()
    new = await _beside(held.word, found["_rowid"].to_numpy(), scores)
    with suppress(ValueError):  # A word that alone is more than what may be remembered.
        held.words[word] = new
    return new


async def _read_passages(table: Any, budget_bytes: int) -> HeldPassages | None:
    """Read a table of passages, or nothing where it does not fit."""
    if await table.count_rows() * _LEAST_BYTES > budget_bytes:
        return None
    return HeldPassages(await _read_rows(table, _TOLD))


async def _read_channel(table: Any, budget_bytes: int) -> HeldChannel | None:
    """Read a table of vectors, or nothing where it does not fit."""
    dimension = (await table.schema()).field("vector").type.list_size
    if 2 * dimension * await table.count_rows() > budget_bytes:
        return None
    rows = await _read_rows(table, PLACE)
    if HeldChannel.bytes_of(rows, dimension) > budget_bytes:
        return None
    vectors = np.zeros((len(rows), dimension), np.float16)
    query = table.query().select(["vector"]).with_row_id()
    async for batch in await query.to_batches(max_batch_length=_BATCH):
        await asyncio.to_thread(_fill, vectors, rows, batch)
    return await asyncio.to_thread(HeldChannel, rows, vectors)


async def _read_rows(table: Any, columns: Sequence[str]) -> Rows:
    found = await table.query().select([*columns, *MARK]).with_row_id().to_arrow()
    numbers = await asyncio.to_thread(Numbers, found)
    return await asyncio.to_thread(Rows, numbers, _in_order(found, columns))


async def _read_changes(table: Any, before: HeldChannel | HeldPassages) -> Any:
    """Read what is new in a later version of a table, or nothing where that is too much."""
    marks = await table.query().select([*MARK]).with_row_id().to_arrow()
    numbers = await asyncio.to_thread(before.numbered_on, marks)
    if numbers is None:
        return None
    columns = PLACE if isinstance(before, HeldChannel) else _TOLD
    added = [*columns, *(["vector"] if isinstance(before, HeldChannel) else [])]
    found = await table.take_row_ids(numbers.new.tolist()).select(added).with_row_id().to_arrow()
    rows = await asyncio.to_thread(Rows, numbers, _in_order(found, columns), before.rows)
    if isinstance(before, HeldPassages):
        return HeldPassages(rows, before)
    vectors = unit(matrix(_in_order(found, ["vector"])["vector"]))
    return await asyncio.to_thread(HeldChannel, rows, vectors.astype(np.float16), before)


def _in_order(found: pa.Table, columns: Sequence[str]) -> pa.Table:
    return found.sort_by("_rowid").select(columns)


def _fill(vectors: np.ndarray, rows: Rows, batch: pa.RecordBatch) -> None:
    """Put a batch's vectors where their rows are."""
    numbers = rows.numbers.at(batch["_rowid"].to_numpy())
    vectors[numbers] = unit(matrix(batch["vector"]))


def _stands(manifest: Manifest, name: str) -> tuple[str, int] | None:
    """Return which version of which table a release has."""
    stands = manifest.passages if name == BM25 else manifest.channels.get(name)
    return (stands.table, stands.version) if stands else None


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

"""A release's vectors in memory, within a budget; what does not fit is asked for below."""

import asyncio
import datetime as dt
import os
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa

from pipelines.releases.manifest import Manifest
from pipelines.search.engines.held import Held, HeldChannel
from pipelines.search.engines.lance import LanceEngine
from pipelines.search.engines.protocol import PLACE, Allowed, Found
from pipelines.search.engines.rows import MARK, Rows
from pipelines.search.engines.words import HeldPassages, Word
from pipelines.search.fusion.profiles import BM25
from pipelines.tables.vectors import unit

_BATCH = 8_192
_LEAST_BYTES = 256  # a passage
_NEW_WORDS = 8  # Of more at once, LanceDB finds the best passages faster than all that match.
_WORDS_AGAIN = 64
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
        passages = before.passages if before and before._same(below, BM25) else None
        if BM25 in below.tables:
            passages = passages or await _read_passages(below.tables[BM25], left)
        if passages and passages.nbytes > left:
            passages = None
        left -= passages.nbytes if passages else 0
        held: dict[str, HeldChannel] = {}
        channels = below.manifest.channels
        for name in sorted(channels, key=lambda name: (channels[name].rows, name)):
            known = before._of_same_table(below, name) if before else None
            same = before is not None and before._same(below, name)
            channel = known if same else await _read_channel(below.tables[name], left, known)
            if channel and channel.nbytes <= left:
                held[name] = channel
                left -= channel.nbytes
        mirror = cls(below, held, passages)
        if before:
            await mirror._ask_again(before)
        return mirror

    async def _ask_again(self, before: "Mirror") -> None:
        """Have ready the filters and words that were asked for lately."""
        work: list[Awaitable[Any]] = []
        for name, held in self.held.items():
            if (known := before.held.get(name)) is not None and known is not held:
                table = self.below.tables[name]
                work += [_selection(held, table, each) for each in [*known.selections]]
        passages, known_passages = self.passages, before.passages
        if passages and known_passages and passages is not known_passages:
            table, words = self.below.tables[BM25], [*known_passages.words][-_WORDS_AGAIN:]
            work += [_selection(passages, table, each) for each in [*known_passages.selections]]
            work += [_word(passages, table, each) for each in words]
        await asyncio.gather(*work)

    def _same(self, other: LanceEngine, name: str) -> bool:
        """Tell whether a table stands here as it does in another engine."""
        mine, theirs = (_version(each.manifest, name) for each in (self.below, other))
        return mine is not None and mine == theirs

    def _of_same_table(self, other: LanceEngine, name: str) -> HeldChannel | None:
        """Return what is held of the table that another engine has of a channel, any version."""
        mine, theirs = (each.manifest.channels.get(name) for each in (self.below, other))
        return self.held.get(name) if mine and theirs and mine.table == theirs.table else None

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
        if held is None or len(set(words) - held.words.keys()) > _NEW_WORDS:
            return await self.below.match(text, allowed, rows, items)
        table = self.below.tables[BM25]
        known = {word: await _word(held, table, word) for word in set(words)}
        selection = await _selection(held, table, allowed)
        return held.match([known[each] for each in words], selection, rows, items)


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
    place = await table.query().select([*PLACE, "text"]).with_row_id().to_arrow()
    return HeldPassages(await asyncio.to_thread(Rows, place))


async def _read_channel(
    table: Any, budget_bytes: int, before: HeldChannel | None
) -> HeldChannel | None:
    """Read a table of vectors, or nothing where it does not fit."""
    dimension = (await table.schema()).field("vector").type.list_size
    if 2 * dimension * await table.count_rows() > budget_bytes:
        return None
    place = await table.query().select([*PLACE, *MARK]).with_row_id().to_arrow()
    rows = await asyncio.to_thread(before.numbered_on, place) if before else None
    if rows is None:
        before, rows = None, await asyncio.to_thread(Rows, place)
    if HeldChannel.bytes_of(rows, dimension) > budget_bytes:
        return None
    vectors = np.zeros((len(rows.new), dimension), np.float16)
    query = table.query() if before is None else table.take_row_ids(rows.new.tolist())
    batches = query.select(["vector"]).with_row_id().to_batches(max_batch_length=_BATCH)
    async for batch in await batches:
        await asyncio.to_thread(_fill, vectors, rows.new, batch)
    return await asyncio.to_thread(HeldChannel, rows, vectors, before)


def _fill(vectors: np.ndarray, row_ids: np.ndarray, batch: pa.RecordBatch) -> None:
    """Put a batch's vectors, at length one, where their rows are."""
    found = batch["vector"].flatten().to_numpy().reshape(-1, vectors.shape[1])
    vectors[np.searchsorted(row_ids, batch["_rowid"].to_numpy())] = unit(found)


def _version(manifest: Manifest, name: str) -> tuple[str, int] | None:
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

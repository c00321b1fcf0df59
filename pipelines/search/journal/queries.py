"""The log of queries: written behind the answer, read by id."""

import asyncio
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipelines.privacy.pii import Detector
from pipelines.rights import Caller
from pipelines.search.journal.masking import Masking
from pipelines.search.journal.records import Record
from pipelines.search.journal.rows import record_of, row_of
from pipelines.search.journal.tables import append
from pipelines.search.journal.writing import EVERY_S, Writer
from pipelines.store import Store
from pipelines.tables.facts import quoted

PATIENCE_S = 3.0
"""So long after it was asked, a query may not be written yet."""

_ID = re.compile(r"[0-9a-f]{12}7[0-9a-f]{19}")
_AGAIN_S = 0.5
_AHEAD_S = 1.0  # that the clock of another process may be ahead
_MOST_WAITING = 8  # of the requests that a server works on at once


def new_id() -> str:
    """Return an id for a query: a UUID of version 7 (RFC 9562), 32 hex digits.

    Ids of one time lie together, so that looking one up reads few files.
    """
    made = uuid.uuid4().hex
    return f"{time.time_ns() // 1_000_000:012x}7{made[13:]}"


class Journal:
    """The queries of a home, to be read within one event loop.

    `detector` gives what finds private data; it is asked for once.
    """

    def __init__(
        self,
        store: Store,
        detector: Callable[[], Detector],
        every_s: float = EVERY_S,
        patience_s: float = PATIENCE_S,
    ):
        self._store = store
        self._detector = detector
        self._masking: Masking | None = None
        self._table = store.queries
        self._patience_s = patience_s
        self._waiting = 0
        # One thread: whoever looks for queries leaves those of the searches free.
        self._reader = ThreadPoolExecutor(1, "journal")
        self._writer: Writer[Record] = Writer(self._write, every_s)

    @property
    def dropped(self) -> int:
        """How many queries were answered and not written."""
        return self._writer.dropped

    def add(self, record: Record) -> None:
        """Leave a query to be written; never blocks."""
        self._writer.add(record)

    async def get(self, query_id: str, caller: Caller | None = None) -> Record | None:
        """Return a query that a caller may know of, `None` where there is none of that id.

        Another process may be about to write it, so that an id of a moment ago is looked for again
        for `patience_s`; so is another's, so that time does not tell that there is one. Only a few
        wait at a time. What a cached answer does not know of itself is that of the query which it
        repeats, which is named where the caller may know of it.
        """
        made_at = _made_at(query_id)
        if made_at is None or made_at > time.time() + _AHEAD_S:
            return None
        record = await self._find(query_id, caller)
        if record is None:
            until = min(made_at, time.time()) + self._patience_s
            record = await self._awaited(query_id, caller, until)
        if record is None or record.repeats is None:
            return record
        first = await self._find(record.repeats)
        if first is None:
            return record
        return replace(
            record,
            weights=first.weights,
            probes=first.probes,
            candidates=first.candidates,
            confidence=first.confidence,
            first=first,
            repeats=first.query_id if first.is_of(caller) else None,
        )

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Have everything written at once; tells whether that was done in time."""
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what waits and stop."""
        self._writer.close()

    async def _awaited(self, query_id: str, caller: Caller | None, until: float) -> Record | None:
        """Look for a query again until a time (seconds since 1970), if not too many do."""
        if self._waiting >= _MOST_WAITING:
            return None
        self._waiting += 1
        try:
            while time.time() < until:
                await asyncio.sleep(_AGAIN_S)
                if record := await self._find(query_id, caller):
                    return record
            return None
        finally:
            self._waiting -= 1

    async def _find(self, query_id: str, caller: Caller | None = None) -> Record | None:
        for record in self._writer.unwritten():
            if record.query_id == query_id and record.is_of(caller):
                return record
        found = await asyncio.get_running_loop().run_in_executor(self._reader, self._read, query_id)
        return found if found is not None and found.is_of(caller) else None

    def _read(self, query_id: str) -> Record | None:
        rows = self._table.rows(where=f"query_id = {quoted(query_id)}")
        return record_of(rows[0]) if rows else None

    def _write(self, batch: list[Record]) -> None:
        if self._masking is None:
            self._masking = Masking(self._detector())
        rows = []
        for record in batch:
            try:
                rows.append(row_of(self._masking.of(record)))
            except Exception as error:
                self._writer.lose(1, error)
        append(self._store, self._table, rows)


def _made_at(query_id: str) -> float | None:
    """Return when an id was made (seconds since 1970), `None` for one that was not made here."""
    if not _ID.fullmatch(query_id):
        return None
    return int(query_id[:12], 16) / 1000

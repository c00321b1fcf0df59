"""The log of queries: written behind the answer, read by id."""

import datetime as dt
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from pipelines.outcomes import now
from pipelines.privacy.pii import Detector
from pipelines.search.journal.masking import Masking
from pipelines.search.journal.records import Record
from pipelines.search.journal.rows import record_of, row_of
from pipelines.search.journal.tables import append
from pipelines.search.journal.writing import EVERY_S, Writer
from pipelines.store import Store
from pipelines.tables.facts import quoted

_ID = re.compile(r"[0-9a-f]{32}")
_AGAIN_S = 0.1


def new_id() -> str:
    """Return an id for a query: a UUID of version 7 (RFC 9562), 32 hex digits.

    Ids of one time lie together, so that looking one up reads few files.
    """
    made = uuid.uuid4().hex
    return f"{time.time_ns() // 1_000_000:012x}7{made[13:]}"


class Journal:
    """The queries of a home. `detector` gives what finds private data; it is asked for once."""

    def __init__(self, store: Store, detector: Callable[[], Detector], every_s: float = EVERY_S):
        self._store = store
        self._detector = detector
        self._masking: Masking | None = None
        self._table = store.queries
        self._reading = threading.Lock()
        self._writer: Writer[Record] = Writer(self._write, every_s)

    @property
    def dropped(self) -> int:
        """How many queries were answered and not written."""
        return self._writer.dropped

    def add(self, record: Record) -> None:
        """Leave a query to be written; never blocks."""
        self._writer.add(record)

    def get(self, query_id: str, patience_s: float = 3.0) -> Record | None:
        """Return a query, `None` where there is none of that id.

        Another process may be about to write it, so that an id of a moment ago is looked for again
        until `patience_s` are over. What a cached answer does not know of itself is that of the
        query which it repeats.
        """
        if not _ID.fullmatch(query_id):
            return None
        made_at = _made_at(query_id)
        if made_at is None:
            return None
        until = min(made_at, now()) + dt.timedelta(seconds=patience_s)
        while (record := self._find(query_id)) is None and now() < until:
            time.sleep(_AGAIN_S)
        if record is None or record.repeats is None:
            return record
        first = self._find(record.repeats)
        if first is None:
            return record
        return replace(
            record,
            weights=first.weights,
            probes=first.probes,
            candidates=first.candidates,
            confidence=first.confidence,
        )

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Have everything written at once; tells whether that was done in time."""
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what waits and stop."""
        self._writer.close()

    def _find(self, query_id: str) -> Record | None:
        for record in self._writer.unwritten():
            if record.query_id == query_id:
                return record
        with self._reading:
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


def _made_at(query_id: str) -> dt.datetime | None:
    """Return when an id was made, `None` for one that was not made here."""
    if query_id[12] != "7":
        return None
    return dt.datetime.fromtimestamp(int(query_id[:12], 16) / 1000, dt.UTC)

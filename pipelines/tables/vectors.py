"""LanceDB tables of what is searched: rows by key, replaced or removed, never half written.

Writers may run side by side, in threads or processes: a lost race is tried again.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.tables.facts import equals_any, quoted
from pipelines.tables.lock import HomeLock

HEAD = "head"
"""The tag of the newest content while a purge rewrites older versions, which come after it."""

_TRIES = 20


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors, (..., width), at length one; those of length zero stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def matrix(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return a column of vectors, none of them missing, as (rows, width)."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    flat: np.ndarray = column.flatten().to_numpy()
    return flat.reshape(-1, column.type.list_size)


def retried(table: Any, change: Callable[[], Any]) -> Any:
    """Make a change to an opened table; again on its newest state where another one came first."""
    for attempt in range(_TRIES):
        try:
            return change()
        except (OSError, RuntimeError) as error:
            lost = any(word in str(error).lower() for word in ("conflict", "concurrent"))
            if not lost or attempt == _TRIES - 1:
                raise
            time.sleep(random.uniform(0, min(0.05 * 2**attempt, 2.0)))
            table.checkout_latest()


def connect(uri: str, storage_options: Mapping[str, str]) -> Any:
    """Open a LanceDB database; the same one is opened once a process."""
    return _connected(uri, tuple(sorted(storage_options.items())))


@lru_cache(maxsize=16)
def _connected(uri: str, options: tuple[tuple[str, str], ...]) -> Any:
    import lancedb

    return lancedb.connect(uri, storage_options=dict(options))


class SearchTable:
    """One LanceDB table with a declared primary key `key`; created at its first write."""

    def __init__(
        self,
        uri: str,
        name: str,
        schema: pa.Schema,
        storage_options: Mapping[str, str] | None = None,
    ):
        self.uri = uri
        self.name = name
        self.schema = schema
        self.storage_options = dict(storage_options or {})

    def _database(self) -> Any:
        return connect(self.uri, self.storage_options)

    def open(self, write: bool = False) -> Any | None:
        """Open the newest content, or return `None` where nothing was ever written.

        Without `write` the handle may be read-only: where a purge is rewriting older versions or
        was killed doing so. With it, the newest content is made the newest version again.
        """
        try:
            table = self._database().open_table(self.name)
        except ValueError:
            return None
        if HEAD in table.tags.list():
            return self._recovered() if write else _at_head(table)
        return table

    def _recovered(self) -> Any:
        # Alone, since restoring a second time would undo what the first one wrote after it.
        with HomeLock(self.uri).exclusive():
            table = self._database().open_table(self.name)
            if HEAD in table.tags.list():
                table.restore(HEAD)
                table.tags.delete(HEAD)
            return table

    def read(self, columns: Sequence[str], where: str | None = None) -> pa.Table:
        """Read columns of the rows that match a SQL condition; none where nothing was written."""
        table = self.open()
        if table is None:
            return pa.schema([self.schema.field(name) for name in columns]).empty_table()
        query = table.search()
        if where is not None:
            query = query.where(where)
        return query.select(list(columns)).to_arrow()

    def rows(self, columns: Sequence[str], batch: str | None = None) -> list[dict[str, Any]]:
        """Read columns of all rows, or of one batch, as dictionaries."""
        where = None if batch is None else f"batch = {quoted(batch)}"
        return self.read(columns, where).to_pylist()

    def vectors(self, keys: Iterable[str]) -> dict[str, Any]:
        """Read the vectors of the given keys."""
        found = self.read(["key", "vector"], equals_any("key", keys))
        return dict(zip(found["key"].to_pylist(), found["vector"].to_pylist(), strict=True))

    def upsert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, replacing those with the same key, in one commit. Keys must be unique."""
        if not rows:
            return
        table = self.open(write=True)
        if table is None:
            table = self._created()
        data = pa.Table.from_pylist(list(rows), schema=self.schema)
        merge = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
        retried(table, lambda: merge.execute(data))

    def _created(self) -> Any:
        try:
            return self._database().create_table(self.name, schema=self.schema)
        except (ValueError, OSError, RuntimeError):
            # Another writer was first; `exist_ok` would compare schemas, which differ when read.
            table = self.open(write=True)
            if table is None:
                raise
            return table

    def remove(self, keys: Iterable[str]) -> None:
        """Delete the rows of the given keys in one commit."""
        table, doomed = self.open(write=True), list(keys)
        if table is not None and doomed:
            retried(table, lambda: table.delete(equals_any("key", doomed)))


def _at_head(table: Any) -> Any:
    """Check out the newest content, where that is not the newest version."""
    try:
        table.checkout(HEAD)
    except ValueError:
        # The purge has just ended.
        table.checkout_latest()
    return table

"""LanceDB tables of what is searched: rows by key, replaced or removed, never half written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipelines.tables.facts import equals_any, quoted


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
        import lancedb

        return lancedb.connect(self.uri, storage_options=self.storage_options)

    def open(self) -> Any | None:
        """Open the newest version, or return `None` where nothing was ever written."""
        try:
            return self._database().open_table(self.name)
        except ValueError:
            return None

    def rows(self, columns: Sequence[str], batch: str | None = None) -> list[dict[str, Any]]:
        """Read columns of all rows, or of one batch."""
        table = self.open()
        if table is None:
            return []
        query = table.search()
        if batch is not None:
            query = query.where(f"batch = {quoted(batch)}")
        return query.select(list(columns)).to_arrow().to_pylist()

    def vectors(self, keys: Iterable[str]) -> dict[str, Any]:
        """Read the vectors of the given keys."""
        table = self.open()
        if table is None:
            return {}
        found = table.search().where(equals_any("key", keys)).select(["key", "vector"]).to_arrow()
        return dict(zip(found["key"].to_pylist(), found["vector"].to_pylist(), strict=True))

    def upsert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, replacing those with the same key, in one commit. Keys must be unique."""
        if not rows:
            return
        table = self.open()
        if table is None:
            table = self._database().create_table(self.name, schema=self.schema)
        data = pa.Table.from_pylist(list(rows), schema=self.schema)
        merge = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(data)

    def remove(self, keys: Iterable[str]) -> None:
        """Delete the rows of the given keys in one commit."""
        table, doomed = self.open(), list(keys)
        if table is not None and doomed:
            table.delete(equals_any("key", doomed))

"""Delta Lake tables of facts and text: read a slice, append, or replace the rows of some items."""

import random
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, QueryBuilder, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

_FEW = 50
_COMMIT_TRIES = 20
_COMMIT = re.compile(r"/(\d{20})\.(?:json|checkpoint\b)")


def quoted(value: str) -> str:
    """Quote a value as a SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def equals_any(column: str, values: Iterable[str]) -> str:
    """Return the predicate `column IN (...)`, or one that is never true for no values."""
    literals = ", ".join(quoted(value) for value in sorted(values))
    return f"{column} IN ({literals})" if literals else "1 = 0"


def select(sql: str, schema: pa.Schema, **tables: "FactTable") -> pa.Table:
    """Run a SQL query over the newest state of some tables, which it calls by the given names.

    Returns its columns cast to `schema`; no rows where one of the tables was never written.
    """
    opened = {name: table._open() for name, table in tables.items()}
    if None in opened.values():
        return schema.empty_table()
    return _select(sql, opened, schema)


def _select(sql: str, tables: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    # Read by delta-rs itself: a pyarrow dataset over it aborted interpreters at exit.
    query = QueryBuilder()
    for name, table in tables.items():
        query = query.register(name, table)
    return pa.table(query.execute(sql).read_all()).select(schema.names).cast(schema)


def narrowed(column: str, values: Collection[str]) -> str:
    """Return `equals_any` for a few values, and no restriction for many: the caller picks then."""
    return equals_any(column, values) if len(values) <= _FEW else "true"


class FactTable:
    """One Delta table. Writers may run side by side: a lost race is retried on the new state."""

    def __init__(
        self, uri: str, schema: pa.Schema, storage_options: Mapping[str, str] | None = None
    ):
        self.uri = uri
        self.schema = schema
        self.storage_options = dict(storage_options or {})

        self._opened: tuple[tuple[int, Any], DeltaTable] | None = None

    def _newest(self) -> tuple[int, Any] | None:
        """Return version and time stamp of the newest commit, by the names in the log alone."""
        files, root = fsspec.core.url_to_fs(self.uri, **self.storage_options)
        try:
            entries = files.ls(f"{root}/_delta_log", detail=True, refresh=True)
        except FileNotFoundError:
            return None
        commits = [
            (int(match[1]), entry.get("mtime") or entry.get("LastModified"))
            for entry in entries
            if (match := _COMMIT.search(entry["name"]))
        ]
        return max(commits, key=lambda commit: commit[0], default=None)

    def _open(self) -> DeltaTable | None:
        """Open the newest version for reading; again only when another commit is the newest."""
        newest = self._newest()
        if newest is None:
            return None
        if self._opened is None or self._opened[0] != newest:
            try:
                self._opened = newest, self._followed(newest[0])
            except TableNotFoundError:
                return None
        return self._opened[1]

    def _followed(self, version: int) -> DeltaTable:
        """Read only the commits that are new, where the last handle can take them in."""
        if self._opened is not None and self._opened[0][0] < version:
            table = self._opened[1]
            try:
                table.update_incremental()
            except DeltaError:
                pass
            else:
                if table.version() >= version:
                    return table
        return DeltaTable(self.uri, None, self.storage_options)

    @property
    def version(self) -> int | None:
        """Version of the newest commit; `None` before the first."""
        newest = self._newest()
        return newest[0] if newest else None

    def stands_at(self, version: int | None) -> bool:
        """Tell whether a version is the newest, in microseconds; of far storage, it is not known.

        So an event loop may ask before it has a thread look closely.
        """
        if "://" in self.uri:
            return False
        if version is None:
            return self.version is None
        # Versions leave out no number; a list of the log takes longer with each commit.
        log = Path(self.uri, "_delta_log")
        there, next_is_there = (
            (log / f"{each:020}.json").exists() for each in (version, version + 1)
        )
        return there and not next_is_there

    def read(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Read the given columns of the rows that match the SQL predicate.

        An absent table reads as empty; `version` reads an older state.
        """
        table = self._open()
        schema = pa.schema([self.schema.field(name) for name in columns or self.schema.names])
        if table is None:
            return schema.empty_table()
        if version is not None:
            table = DeltaTable(self.uri, version, self.storage_options)
        query = f"SELECT {', '.join(schema.names)} FROM facts"
        if where:
            query += f" WHERE {where}"
        return _select(query, {"facts": table}, schema)

    def rows(
        self, columns: Sequence[str] | None = None, where: str | None = None
    ) -> list[dict[str, Any]]:
        """Read like `read`, as dictionaries."""
        return self.read(columns, where).to_pylist()

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows in one commit."""
        if rows:
            self._commit(lambda: self._write(rows, mode="append"))

    def append_after(
        self, make: Callable[[list[dict[str, Any]]], Sequence[Mapping[str, Any]]]
    ) -> Sequence[Mapping[str, Any]]:
        """Add the rows that `make` returns for all that are there, with nothing in between.

        When another writer commits first, `make` is asked again. Returns what was added.
        """
        alone = CommitProperties(max_commit_retries=0)
        if self._open() is None:
            DeltaTable.create(
                self.uri, self.schema, mode="ignore", storage_options=self.storage_options
            )
        added: list[Sequence[Mapping[str, Any]]] = []

        def attempt() -> None:
            table = DeltaTable(self.uri, storage_options=self.storage_options)
            rows = make(_select("SELECT * FROM facts", {"facts": table}, self.schema).to_pylist())
            added[:] = [rows]
            if rows:
                write_deltalake(
                    table,
                    pa.Table.from_pylist(list(rows), schema=self.schema),
                    mode="append",
                    commit_properties=alone,
                )

        self._commit(attempt)
        return added[0]

    def compact(self) -> None:
        """Merge small files; the old ones stay until `vacuum`."""
        table = self._open()
        if table is not None:
            self._commit(
                lambda: DeltaTable(self.uri, None, self.storage_options).optimize.compact()
            )

    def vacuum(self, days: float) -> list[str]:
        """Remove files that only versions older than `days` need, and those that no version does.

        With 0 days only the newest version can be read afterwards; nobody may be writing then.
        Returns the removed files, relative to the table.
        """
        table = self._open()
        if table is None:
            return []
        return table.vacuum(
            retention_hours=int(days * 24),
            dry_run=False,
            enforce_retention_duration=False,
            full=True,
        )

    def replace(self, predicate: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace the rows that match the SQL predicate in one commit; `rows` must match it."""
        table = self._open()
        if table is None:
            self.append(rows)
        elif rows:
            self._commit(lambda: self._write(rows, mode="overwrite", predicate=predicate))
        else:
            self._commit(lambda: DeltaTable(self.uri, None, self.storage_options).delete(predicate))

    def _write(self, rows: Sequence[Mapping[str, Any]], **how: Any) -> None:
        write_deltalake(
            self.uri,
            pa.Table.from_pylist(list(rows), schema=self.schema),
            storage_options=self.storage_options,
            **how,
        )

    def _commit(self, write: Callable[[], Any]) -> None:
        for attempt in range(_COMMIT_TRIES):
            try:
                write()
                return
            except CommitFailedError:
                if attempt == _COMMIT_TRIES - 1:
                    raise
                time.sleep(random.uniform(0, min(0.05 * 2**attempt, 2.0)))

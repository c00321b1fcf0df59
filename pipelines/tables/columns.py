"""Changing the columns of tables that hold rows: one commit a change, all of it or nothing.

What each costs is said where it is defined. Adding a column never rewrites what a table holds;
Delta tables are rewritten to lose or rename one, because delta-rs cannot map column names.
LanceDB keeps a column in files of its own, so none of its changes rewrites the others.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Field, QueryBuilder, write_deltalake
from deltalake.exceptions import TableNotFoundError

from pipelines.tables.facts import FactTable


def stored(table: FactTable) -> pa.Schema | None:
    """Return the columns that a Delta table has now, `None` where there is no table."""
    try:
        return pa.schema(_open(table).schema())
    except TableNotFoundError:
        return None


def add_columns(table: FactTable, *fields: pa.Field) -> None:
    """Add columns of nulls to a Delta table, where they are absent.

    Costs one entry in the log; no file of the table is read or written.
    """
    present = stored(table)
    new = [field for field in fields if present is not None and field.name not in present.names]
    if new:
        _open(table).alter.add_columns([Field.from_arrow(field) for field in new])


def drop_columns(table: FactTable, names: Collection[str]) -> None:
    """Take columns from a Delta table. Costs reading and writing the whole table, in a stream."""
    present = stored(table)
    if present is not None and not set(names).isdisjoint(present.names):
        kept = [field for field in present if field.name not in names]
        rewrite(
            table, f"SELECT {_listed(field.name for field in kept)} FROM facts", pa.schema(kept)
        )


def rename_columns(table: FactTable, names: Mapping[str, str]) -> None:
    """Rename columns of a Delta table. Costs reading and writing the whole table, in a stream."""
    present = stored(table)
    if present is not None and not names.keys().isdisjoint(present.names):
        renamed = [field.with_name(names.get(field.name, field.name)) for field in present]
        shown = ", ".join(
            f"{old.name} AS {new.name}" for old, new in zip(present, renamed, strict=True)
        )
        rewrite(table, f"SELECT {shown} FROM facts", pa.schema(renamed))


def rewrite(
    table: FactTable,
    sql: str,
    schema: pa.Schema,
    fill: Callable[[pa.RecordBatch], pa.RecordBatch] = lambda batch: batch,
) -> None:
    """Replace a Delta table's rows and columns by what a query over `facts` says.

    `fill` works on each batch of the answer. Costs reading and writing the whole table; some
    thousand rows are in memory at a time, and the old files stay until they are vacuumed.
    """
    answer = QueryBuilder().register("facts", _open(table)).execute(sql)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in answer:
            yield fill(pa.record_batch(batch)).select(schema.names).cast(schema)

    write_deltalake(
        table.uri,
        pa.RecordBatchReader.from_batches(schema, batches()),
        mode="overwrite",
        schema_mode="overwrite",
        storage_options=table.storage_options,
    )


def add_searched(table: Any, *fields: pa.Field) -> None:
    """Add columns of nulls to a LanceDB table, where they are absent.

    Costs one manifest; vectors are not touched, and indexes stay.
    """
    if new := [field for field in fields if field.name not in table.schema.names]:
        table.add_columns(new)


def drop_searched(table: Any, names: Collection[str]) -> None:
    """Take columns from a LanceDB table. Costs one manifest; the bytes go when it is compacted."""
    present = [name for name in names if name in table.schema.names]
    if present:
        table.drop_columns(present)


def rename_searched(table: Any, names: Mapping[str, str]) -> None:
    """Rename columns of a LanceDB table. Costs one manifest."""
    changes = [
        {"path": old, "rename": new} for old, new in names.items() if old in table.schema.names
    ]
    if changes:
        table.alter_columns(*changes)


def _open(table: FactTable) -> DeltaTable:
    return DeltaTable(table.uri, storage_options=table.storage_options)


def _listed(names: Iterator[str]) -> str:
    return ", ".join(names)

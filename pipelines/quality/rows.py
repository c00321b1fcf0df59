"""The rows that expectations look at: no vectors, no words, and marks where tables must agree."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from pipelines.catalog.metadata import SEGMENT
from pipelines.models.suite import ModelSuite
from pipelines.outcomes import residual
from pipelines.quality.coverage import COVERAGE
from pipelines.quality.coverage import coverage as coverage_of
from pipelines.releases.log import serving
from pipelines.status import failed_share
from pipelines.store import Store
from pipelines.tables.facts import FactTable
from pipelines.tables.schemas import ITEMS
from pipelines.tables.vectors import SearchTable


def items(store: Store) -> pa.Table:
    """Read live items with the columns that are stored rather than those of the contract."""
    if store.items.version is None:
        return ITEMS.empty_table()
    options = store.items.storage_options
    stored = pa.schema(DeltaTable(store.items.uri, storage_options=options).schema().to_arrow())
    return FactTable(store.items.uri, stored, options).read(where="deleted = false")


def segments(store: Store, which: str) -> pa.Table:
    """Read segments for which an SQL condition holds, marking those that should not be there."""
    columns = ["key", "item_id", "batch", "kind", "derivative", "thumbnail", "recipe"]
    return _marked(store, store.segments.read(columns, which))


def texts(store: Store, which: str) -> pa.Table:
    """Read texts for which an SQL condition holds, marking those that should not be there."""
    columns = ["key", "item_id", "segment", "source", "text", "text_hash", "confidence", "recipe"]
    return _marked(store, store.texts.read(columns, which))


def _marked(store: Store, table: pa.Table) -> pa.Table:
    """Mark what was made from items in which private data was still found after redaction."""
    refused = pa.array(sorted(residual(store.outcomes)), pa.string())
    marks = pc.is_in(table["item_id"], value_set=refused)
    if "segment" in table.column_names:  # what stands beside an item is redacted on its own
        marks = pc.and_(marks, pc.not_equal(table["segment"], SEGMENT))
    return table.append_column("refused", marks)


def vectors(table: SearchTable) -> pa.Table:
    """Read a channel's rows with the length of each vector in its place."""
    columns = ["key", "item_id", "batch", "recipe", "identity"]
    schema = pa.schema([*(pa.field(name, pa.string()) for name in columns), ("norm", pa.float64())])
    opened = table.open()
    if opened is None:
        return schema.empty_table()
    batches = opened.search().select([*columns, "vector"]).to_batches()
    return pa.Table.from_batches([_measured(batch, schema) for batch in batches], schema)


def _measured(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    vectors = batch["vector"]
    values = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, vectors.type.list_size)
    norms = np.full(len(vectors), np.nan)
    norms[vectors.is_valid().to_numpy(zero_copy_only=False)] = np.linalg.norm(values, axis=1)
    columns = [batch[name] for name in schema.names[:-1]]
    return pa.record_batch([*columns, pa.array(norms, from_pandas=True)], schema=schema)


def failures(store: Store, models: ModelSuite) -> pa.Table:
    """Read, for each step, how many of its rows failed and their share."""
    columns = [("step", pa.string()), ("failed", pa.int64()), ("rows", pa.int64())]
    schema = pa.schema([*columns, ("share", pa.float64())])
    return pa.Table.from_pylist(failed_share(store, models), schema)


def passages(table: SearchTable) -> pa.Table:
    """Read passages."""
    columns = ["key", "source", "text", "recipe"]
    return pa.Table.from_pylist(
        table.rows(columns), pa.schema([(name, pa.string()) for name in columns])
    )


def coverage(store: Store) -> pa.Table:
    """Return, by step and channel, how many items should have a row and what share of them does.

    Channels are counted as the serving release has them; without one the table is empty.
    """
    manifest = serving(store)
    return coverage_of(store, manifest) if manifest else COVERAGE.empty_table()

"""The rows that expectations look at: no vectors, no words, and marks where tables must agree."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from pipelines.channels import CHANNELS
from pipelines.errors import ResidualFinding
from pipelines.releases import Manifest, latest
from pipelines.store import Store
from pipelines.tables.facts import FactTable, equals_any, quoted
from pipelines.tables.schemas import ITEMS
from pipelines.tables.vectors import SearchTable


def items(store: Store) -> pa.Table:
    """Read live items with the columns that are stored rather than those of the contract."""
    if store.items.version is None:
        return ITEMS.empty_table()
    options = store.items.storage_options
    stored = pa.schema(DeltaTable(store.items.uri, storage_options=options).schema().to_arrow())
    return FactTable(store.items.uri, stored, options).read(where="deleted = false")


def segments(store: Store) -> pa.Table:
    """Read segments, with a mark on those that should not be there."""
    columns = ["key", "item_id", "batch", "kind", "derivative", "thumbnail", "recipe"]
    return _marked(store, store.segments.read(columns))


def texts(store: Store, sources: Sequence[str]) -> pa.Table:
    """Read the texts of some sources, with a mark on those that should not be there."""
    columns = ["key", "item_id", "source", "text", "text_hash", "confidence", "recipe"]
    return _marked(store, store.texts.read(columns, equals_any("source", sources)))


def _marked(store: Store, table: pa.Table) -> pa.Table:
    """Mark what was made from items in which private data was still found after redaction."""
    where = f"error = {quoted(ResidualFinding.__name__)}"
    refused = store.outcomes.read(["item_id"], where)["item_id"].combine_chunks()
    marks = pc.is_in(table["item_id"], value_set=refused)
    if "source" in table.column_names:  # what stands beside an item is redacted on its own
        marks = pc.and_(marks, pc.not_equal(table["source"], "meta"))
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


def passages(table: SearchTable) -> pa.Table:
    """Read passages."""
    columns = ["key", "source", "text", "recipe"]
    return pa.Table.from_pylist(
        table.rows(columns), pa.schema([(name, pa.string()) for name in columns])
    )


def coverage(store: Store) -> pa.Table:
    """Return, by step and channel, how many items should have a row and what share of them does.

    Channels are counted as the latest release has them; without one the table is empty.
    """
    rows = []
    manifest = latest(store)
    if manifest is not None:
        expected, found = _expected(store), _found(store, manifest)
        rows = [
            {
                "name": name,
                "items": len(items),
                "share": len(items & found[name]) / len(items) if items else 1.0,
            }
            for name, items in expected.items()
        ]
    columns = [("name", pa.string()), ("items", pa.int64()), ("share", pa.float64())]
    return pa.Table.from_pylist(rows, pa.schema(columns))


def _expected(store: Store) -> dict[str, set[str]]:
    """Return the items that should have a row: what is live and was not refused for a reason."""
    refused = "step = 'redacted_media' AND status IN ('quarantined', 'skipped')"
    alive = _ids(store.items.read(["item_id"], "deleted = false"))
    expected = {"redacted_media": alive - _ids(store.outcomes.read(["item_id"], refused))}
    for name, channel in CHANNELS.items():
        if channel.encoder == "image":
            found = store.segments.read(["item_id"], "derivative IS NOT NULL")
        else:
            sources = equals_any("source", channel.sources)
            found = store.texts.read(["item_id"], f"text <> '' AND {sources}")
        expected[name] = alive & _ids(found)
    return expected


def _found(store: Store, manifest: Manifest) -> dict[str, set[str]]:
    """Return the items that do have one."""
    import lancedb

    found = {"redacted_media": _ids(store.segments.read(["item_id"]))}
    database = lancedb.connect(store.search_root, storage_options=store.storage_options)
    for name in CHANNELS:
        found[name] = set()
        if version := manifest.channels.get(name):
            table = database.open_table(version.table)
            table.checkout(version.version)
            found[name] = _ids(table.search().select(["item_id"]).to_arrow())
    return found


def _ids(table: pa.Table) -> set[str]:
    return set(table["item_id"].to_pylist())

"""Removing rows from Delta tables together with the files, and the log, that still tell of them."""

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from pipelines.erasure.files import Folder
from pipelines.erasure.needles import Finder, Needle, columns_of
from pipelines.recipes import digest
from pipelines.store import Store
from pipelines.tables.facts import FactTable, equals_any, quoted

_KEEP_LOG = "delta.logRetentionDuration"
_DEFAULT = "interval 30 days"
_AT_ONCE = 1000
# Of what a query encoded itself, its step `encode` tells how long that took. Older versions did not
# write which items hops asked with.
_UNNAMED = (
    "cardinality(vectors) > 0 AND request ~ '\"like\":(null|\\[\\])'"
    ' AND trace ~ \'"step":"encode"[^{]*"parts":\\{\\}\''
)

QUERIES = "delta/queries"
"""Where the log of queries lies: words of people, of which each row may name many items."""


def remove(
    store: Store, item_ids: Collection[str], uris: Collection[str], needles: Sequence[Needle]
) -> None:
    """Delete what any table but the ledger says of items, and of the files that they were.

    Of the log of queries, that are the rows that hold one of the needles, and those of which nobody
    can tell whose vectors they hold.
    """
    doomed = equals_any("item_id", item_ids)
    refused = [doomed, equals_any("key", [digest(uri) for uri in uris]), equals_any("uri", uris)]
    refused += [f"strpos(reason, {quoted(uri)}) > 0" for uri in sorted(uris)]
    for name, table in store.facts.items():
        if name == "ledger" or "item_id" not in table.schema.names:
            continue
        where = " OR ".join(refused) if name == "outcomes" else doomed
        if table.read(["item_id"], where).num_rows:
            table.replace(where, [])
        forget_history(table)
    finder = Finder([each for each in needles if each.tells_alone])
    told = list({*_told(store, finder), *unnamed(store)})
    for start in range(0, len(told), _AT_ONCE):
        store.queries.replace(equals_any("query_id", told[start : start + _AT_ONCE]), [])
    forget_history(store.queries)


def unnamed(store: Store) -> list[str]:
    """Return the ids of the queries that hold vectors of items and do not say of which."""
    return [row["query_id"] for row in store.queries.rows(["query_id"], _UNNAMED)]


def _told(store: Store, finder: Finder) -> Iterator[str]:
    """Yield the ids of the queries whose rows hold any of what is looked for."""
    for file in Folder(store.root, store.storage_options).files(QUERIES):
        if file.is_table and "query_id" in columns_of(file):
            for batch in file.batches():
                yield from _holding(batch, finder)


def _holding(batch: pa.RecordBatch, finder: Finder) -> Iterator[str]:
    """Look at halves of what holds something, down to single rows."""
    if not finder.in_columns(batch.columns):
        return
    if batch.num_rows == 1:
        yield batch["query_id"][0].as_py()
        return
    middle = batch.num_rows // 2
    for half in (range(middle), range(middle, batch.num_rows)):
        # Taken, since the buffers of a slice still hold all rows.
        yield from _holding(batch.take(pa.array(half, pa.int64())), finder)


def forget_history(table: FactTable) -> None:
    """Remove everything but the newest state: data files, and a log that quotes values from them.

    Older versions cannot be read afterwards. Nobody may be writing.
    """
    try:
        delta = DeltaTable(table.uri, storage_options=table.storage_options)
    except TableNotFoundError:
        return
    kept = delta.metadata().configuration.get(_KEEP_LOG, _DEFAULT)
    # Entries of the log tell smallest and largest values, and by what condition rows were deleted.
    delta.alter.set_table_properties({_KEEP_LOG: "interval 0 days"})
    table.vacuum(0)
    delta = DeltaTable(table.uri, storage_options=table.storage_options)
    delta.create_checkpoint()
    delta.cleanup_metadata()
    delta.alter.set_table_properties({_KEEP_LOG: kept})

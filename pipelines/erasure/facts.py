"""Removing rows from Delta tables together with the files, and the log, that still tell of them."""

from collections.abc import Collection

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from pipelines.recipes import digest
from pipelines.store import Store
from pipelines.tables.facts import FactTable, equals_any, quoted

_KEEP_LOG = "delta.logRetentionDuration"
_DEFAULT = "interval 30 days"


def remove(store: Store, item_ids: Collection[str], uris: Collection[str]) -> None:
    """Delete what any table but the ledger says of items, and of the files that they were."""
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


def forget_history(table: FactTable) -> None:
    """Remove everything but the newest state: data files, and a log that quotes values from them.

    Older versions cannot be read afterwards. Nobody may be writing.
    """
    try:
        delta = DeltaTable(table.uri, storage_options=table.storage_options)
    except TableNotFoundError:
        return
    # Entries of the log tell smallest and largest values, and by what condition rows were deleted.
    delta.alter.set_table_properties({_KEEP_LOG: "interval 0 days"})
    table.vacuum(0)
    delta = DeltaTable(table.uri, storage_options=table.storage_options)
    delta.create_checkpoint()
    delta.cleanup_metadata()
    delta.alter.set_table_properties({_KEEP_LOG: _DEFAULT})

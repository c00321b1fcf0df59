"""The tables of the journal. Only their newest state counts, so their logs are kept short."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deltalake import DeltaTable

from pipelines import ledger
from pipelines.outcomes import now
from pipelines.store import Store
from pipelines.tables.facts import FactTable

_SHORT_LOG: dict[str, str | None] = {"delta.logRetentionDuration": "interval 1 hours"}
# A commit adds a small file; after so many they are merged.
_COMMITS = 200
# An answer may name an item that was erased while it waited to be written, but no later one.
_LATE = dt.timedelta(hours=1)

TABLES = ("queries", "feedback")


def append(store: Store, table: FactTable, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows, without those that name an item which was erased while they waited.

    The table is made where there is none, and its small files are merged now and then.
    """
    with store.lock.shared():
        erased = _erased_lately(store)
        kept = [
            row for row in rows if not erased.intersection(map(ledger.mark, _named(row, erased)))
        ]
        if not kept:
            return
        if table.version is None:
            DeltaTable.create(
                table.uri,
                table.schema,
                mode="ignore",
                configuration=_SHORT_LOG,
                storage_options=table.storage_options,
            )
        table.append(kept)
        if (table.version or 0) % _COMMITS == 0:
            table.compact()


def _erased_lately(store: Store) -> set[str]:
    """Return the ledger's marks of items that were erased a short while ago."""
    rows = store.ledger.rows(["subject", "at"], "subject IS NOT NULL")
    return {row["subject"] for row in rows if row["at"] > now() - _LATE}


def _named(row: Mapping[str, Any], erased: set[str]) -> Iterable[str]:
    if not erased:
        return ()
    return row["items"] if "items" in row else [row["item_id"]]

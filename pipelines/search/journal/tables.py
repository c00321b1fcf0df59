"""The tables of the journal. Only their newest state counts, so their logs are kept short."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from pipelines import ledger
from pipelines.outcomes import now
from pipelines.store import Store
from pipelines.tables.facts import FactTable

_TIME = pa.timestamp("us", tz="UTC")
_SHORT_LOG: dict[str, str | None] = {"delta.logRetentionDuration": "interval 1 hours"}
# A commit adds a small file; after so many they are merged.
_COMMITS = 200
# An answer may name an item that was erased while it waited to be written, but no later one.
_LATE = dt.timedelta(hours=1)

# `request`, `answer`, `results`, `weights`, `trace` and `rights` are JSON. `probes` names, for each
# channel, which of the `vectors` (float32) it was asked with. The lists `candidates` and `scores`,
# and each of `similarities` and `evidence`, go by candidate, these two by `channels` first.
QUERIES = pa.schema(
    [
        ("query_id", pa.string()),
        ("at", _TIME),
        ("release", pa.string()),
        ("user", pa.string()),
        ("rights", pa.string()),
        ("request", pa.string()),
        ("answer", pa.string()),
        ("results", pa.string()),
        ("trace", pa.string()),
        ("weights", pa.string()),
        ("probes", pa.string()),
        ("vectors", pa.list_(pa.binary())),
        ("channels", pa.list_(pa.string())),
        ("candidates", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float64())),
        ("similarities", pa.list_(pa.list_(pa.float32()))),
        ("evidence", pa.list_(pa.list_(pa.float32()))),
        ("items", pa.list_(pa.string())),
        ("confidence", pa.float64()),
        ("masked", pa.bool_()),
        ("repeats", pa.string()),
    ]
)

FEEDBACK = pa.schema(
    [
        ("query_id", pa.string()),
        ("item_id", pa.string()),
        ("kind", pa.string()),
        ("position", pa.int32()),
        ("user", pa.string()),
        ("at", _TIME),
    ]
)

SCHEMAS = {"queries": QUERIES, "feedback": FEEDBACK}


def tables(store: Store) -> dict[str, FactTable]:
    """Return the journal's tables by name; they come into being with their first row."""
    return {
        name: FactTable(f"{store.root}/delta/{name}", schema, store.storage_options)
        for name, schema in SCHEMAS.items()
    }


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

"""What each migration does to the tables, and how it is undone.

A change may be killed and done again: it looks at the columns first, and each commit is whole.
Columns are named as they were then, whatever `schemas.py` says by now.
"""

import json
from typing import Any

import fsspec
import pyarrow as pa

from pipelines.attributes import attributes_of
from pipelines.catalog.metadata import groups
from pipelines.errors import BadInput
from pipelines.store import Store
from pipelines.tables.columns import (
    add_columns,
    add_searched,
    drop_columns,
    drop_searched,
    rewrite,
    stored,
)

_ATTRIBUTES_OF_MEDIA = (
    pa.field("duration_s", pa.float64()),
    pa.field("modalities", pa.list_(pa.string())),
)
_OF_MEDIA = (
    *(pa.field(name, pa.string()) for name in ("sound_hash", "subtitles", "subtitles_hash")),
    *_ATTRIBUTES_OF_MEDIA,
)
_LANGUAGE = pa.field("language", pa.string())
_ACCESS = pa.field("access", pa.list_(pa.string()))
_OUTCOMES_UP = """
SELECT *, CASE WHEN status = 'failed' THEN updated_at END AS next_try
FROM facts WHERE status <> 'ok'
"""
_RELEASES_UP = """
SELECT row_number() OVER (ORDER BY release) AS sequence, 'promoted' AS event, release, created_at,
       manifest, NULL AS verdict, NULL AS note
FROM facts
"""
_RELEASES_DOWN = """
SELECT release, min(created_at) AS created_at,
       last_value(manifest ORDER BY sequence) FILTER (WHERE manifest IS NOT NULL) AS manifest
FROM facts GROUP BY release
HAVING bool_or(event IN ('promoted', 'rolled back')) AND release <= (
    SELECT last_value(release ORDER BY sequence) FROM facts
    WHERE event IN ('promoted', 'rolled back')
)
"""


def truth_up(store: Store) -> None:
    """Rows know what they were made from, outcomes when to try again, releases their history.

    Rewrites these three tables, which are small beside texts and vectors: each existing row gets a
    value. What failed is due at once.
    """
    items, outcomes, releases = stored(store.items), stored(store.outcomes), stored(store.releases)
    if items is not None and "attributes_hash" not in items.names:
        sql = "SELECT *, CAST(NULL AS VARCHAR) AS attributes_hash FROM facts"
        with_hash = items.append(pa.field("attributes_hash", pa.string()))
        rewrite(store.items, sql, with_hash, _with_hashes)
    if outcomes is not None and "next_try" not in outcomes.names:
        with_time = outcomes.append(pa.field("next_try", outcomes.field("updated_at").type))
        rewrite(store.outcomes, _OUTCOMES_UP, with_time)
    if releases is not None and "sequence" not in releases.names:
        added = [("event", pa.string()), ("verdict", pa.string()), ("note", pa.string())]
        as_log = pa.schema([("sequence", pa.int64()), *releases, *added])
        rewrite(store.releases, _RELEASES_UP, as_log)


def _with_hashes(batch: pa.RecordBatch) -> pa.RecordBatch:
    hashes = [
        attributes_of(row).key if row["origins"] and not row["deleted"] else None
        for row in batch.to_pylist()
    ]
    place = batch.schema.get_field_index("attributes_hash")
    return batch.set_column(place, "attributes_hash", pa.array(hashes, pa.string()))


def truth_down(store: Store) -> None:
    """Give back what the old code reads: the release that serves now is its newest.

    Not given back are outcomes `ok`, which were never needed, and releases that were refused, wait,
    or were rolled back from. The ledger of erasures stays for the way up.
    """
    drop_columns(store.items, ["attributes_hash"])
    outcomes, releases = stored(store.outcomes), stored(store.releases)
    if outcomes is not None and "next_try" in outcomes.names:
        old = outcomes.remove(outcomes.get_field_index("next_try"))
        sql = f"SELECT {', '.join(old.names)} FROM facts WHERE status <> 'superseded'"
        rewrite(store.outcomes, sql, old)
    if releases is not None and "sequence" in releases.names:
        old = pa.schema([releases.field(name) for name in ("release", "created_at", "manifest")])
        rewrite(store.releases, _RELEASES_DOWN, old)


def media_up(store: Store) -> None:
    """Items know how long they are, what they consist of and their subtitles.

    Rewrites the table of items: sound and video that are registered already lose what their files
    were known by, so that the next scan reads them.
    """
    items = stored(store.items)
    if items is not None and "modalities" not in items.names:
        rewrite(store.items, "SELECT * FROM facts", pa.schema([*items, *_OF_MEDIA]), _unread)
    add_columns(store.texts, _LANGUAGE)
    for name in store.search_tables():
        add_searched(store.database.open_table(name), *_ATTRIBUTES_OF_MEDIA)


def _unread(batch: pa.RecordBatch) -> pa.RecordBatch:
    rows = batch.to_pylist()
    for row in rows:
        if row["kind"] in {"audio", "video"}:
            row["origins"] = [origin | {"fingerprint": ""} for origin in row["origins"] or []]
    return pa.RecordBatch.from_pylist(rows, pa.schema([*batch.schema, *_OF_MEDIA]))


def media_down(store: Store) -> None:
    """Take the columns away; rows that were made of sound and video go at the next index."""
    drop_columns(store.items, [field.name for field in _OF_MEDIA])
    drop_columns(store.texts, [_LANGUAGE.name])
    for name in store.search_tables():
        names = [field.name for field in _ATTRIBUTES_OF_MEDIA]
        drop_searched(store.database.open_table(name), names)


def access_up(store: Store) -> None:
    """Items know which groups may see them: what a key `access` said before, which was kept only.

    Rewrites the table of items. Rows that are searched have nulls, until the next index brings
    those that are not for everyone up to date.
    """
    items = stored(store.items)
    if items is not None and _ACCESS.name not in items.names:
        rewrite(store.items, "SELECT * FROM facts", items.append(_ACCESS), _with_access)
    for name in store.search_tables():
        add_searched(store.database.open_table(name), _ACCESS)


def _forget_journal(store: Store) -> None:
    """Forget what was asked and how answers were judged: old code keeps no journal."""
    for table in (store.queries, store.feedback):
        files, path = fsspec.core.url_to_fs(table.uri, **table.storage_options)
        if files.exists(path):
            files.rm(path, recursive=True)


def _with_access(batch: pa.RecordBatch) -> pa.RecordBatch:
    rows = batch.to_pylist()
    for row in rows:
        extra = json.loads(row["extra"] or "{}")
        if _ACCESS.name in extra:
            row["access"] = _groups(extra.pop(_ACCESS.name))
            row["extra"] = _json(extra)
            live = row["origins"] and not row["deleted"]
            row["attributes_hash"] = attributes_of(row).key if live else None
    return pa.RecordBatch.from_pylist(rows, batch.schema.append(_ACCESS))


def _groups(value: Any) -> list[str] | None:
    try:
        return groups(value) or None
    except BadInput:
        # Today such an item would not be taken: here it is for a group that nobody is in.
        return [json.dumps(value, sort_keys=True)]


def access_down(store: Store) -> None:
    """Keep the groups under the key `access` only; old code lets everyone see these items.

    It keeps no journal either, so what was asked is forgotten.
    """
    _forget_journal(store)
    items = stored(store.items)
    if items is not None and _ACCESS.name in items.names:
        old = items.remove(items.get_field_index(_ACCESS.name))
        rewrite(store.items, "SELECT * FROM facts", old, _without_access)
    for name in store.search_tables():
        table = store.database.open_table(name)
        if {_ACCESS.name, "attributes_hash"} <= set(table.schema.names):
            # What they lose is not in their hash: without one the next index brings them up to date
            table.update(where="access IS NOT NULL", values={"attributes_hash": ""})
        drop_searched(table, [_ACCESS.name])


def _without_access(batch: pa.RecordBatch) -> pa.RecordBatch:
    rows = batch.to_pylist()
    for row in rows:
        if row["access"]:
            extra = json.loads(row["extra"] or "{}") | {_ACCESS.name: row["access"]}
            row["extra"] = _json(extra)
    return pa.RecordBatch.from_pylist(rows, batch.schema)


def _json(extra: dict[str, Any]) -> str | None:
    return json.dumps(extra, sort_keys=True, ensure_ascii=False) if extra else None

"""Upkeep of LanceDB tables: indexes in one piece, few fragments, no versions for nothing."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from pipelines.store import Store
from pipelines.tables.vectors import HEAD
from pipelines.upkeep.files import below, total
from pipelines.upkeep.state import TableState

# A fragment of this size is left alone, so that a night's work is bounded however large a table.
_FRAGMENT_ROWS = 1 << 17
# Merging copies whole fragments, and the old ones stay for their releases: not for a few rows.
_SMALL_FRAGMENTS = 8
# Rows that are only marked as deleted cost every query time.
_DELETED_SHARE = 0.02
_OF_ENCODER = re.compile(r".+_[0-9a-f]{12}")
_RELEASE = re.compile(r"r\d+")


def tables(store: Store) -> list[str]:
    """Return the names of all LanceDB tables."""
    return store.search_tables()


def is_being_purged(store: Store, table: str) -> bool:
    """Tell whether a purge was killed in a table, whose newest version is then no content."""
    return HEAD in _tags(_open(store, table))


def is_of_encoder(table: str) -> bool:
    """Tell whether a table holds the vectors of one encoder, so that it can fall out of use."""
    return _OF_ENCODER.fullmatch(table) is not None


def state(store: Store, table: str, older_than: dt.datetime) -> TableState:
    """Describe a table; versions from before `older_than` that nothing needs are stale."""
    dataset = _open(store, table)
    rows, needed = dataset.count_rows(), {dataset.version, *_tags(dataset).values()}
    written = _versions(dataset)
    indexes = dataset.describe_indices()
    small = dataset.stats.dataset_stats()["num_small_files"]
    return TableState(
        table,
        "lance",
        rows=rows,
        bytes=total(below(_uri(store, table), store.storage_options)),
        versions=len(written),
        stale=sum(at < older_than and each not in needed for each, at in written.items()),
        small_files=small if small > 1 else 0,
        segments=max((len(index.segments) for index in indexes), default=0),
        unindexed=max((max(rows - index.num_rows_indexed, 0) for index in indexes), default=0),
        indexed=bool(indexes),
    )


def last_written(store: Store, table: str) -> dt.datetime:
    """Return when the newest version of a table was written."""
    return max(_versions(_open(store, table)).values())


def settle(store: Store, table: str) -> None:
    """Index every row, in one segment an index, and merge fragments where many are small.

    Nothing is written where nothing is to be done. Releases see it when the next one is made.
    """
    dataset = _open(store, table)
    rows = dataset.count_rows()
    indexes = dataset.describe_indices()
    segments = max((len(index.segments) for index in indexes), default=0)
    if segments > 1 or any(index.num_rows_indexed < rows for index in indexes):
        # First, since fragments that different segments cover are never merged.
        dataset.optimize.optimize_indices(num_indices_to_merge=max(segments, 1))
        dataset = _open(store, table)
    stats = dataset.stats.dataset_stats()
    few_deleted = stats["num_deleted_rows"] <= _DELETED_SHARE * rows
    if stats["num_small_files"] > _SMALL_FRAGMENTS or not few_deleted:
        dataset.optimize.compact_files(
            target_rows_per_fragment=_FRAGMENT_ROWS, materialize_deletions_threshold=_DELETED_SHARE
        )


def clean(store: Store, table: str, needed: Mapping[str, int], older_than: dt.timedelta) -> None:
    """Remove versions that are old and in none of the releases `needed`, which maps to versions.

    Tags of other releases go; a needed version that lacks its tag gets it first.
    """
    dataset = _open(store, table)
    tags, present = _tags(dataset), _versions(dataset)
    for name in tags:
        if name not in needed and _RELEASE.fullmatch(name):
            dataset.tags.delete(name)
    for name, version in needed.items():
        if version in present and tags.get(name) != version:
            set_tag = dataset.tags.update if name in tags else dataset.tags.create
            set_tag(name, version)
    # LanceDB's own cleaning refuses a table that has any tag on an old version.
    dataset.cleanup_old_versions(older_than=older_than, error_if_tagged_old_versions=False)


def drop(store: Store, table: str) -> None:
    """Remove a table with all its versions."""
    store.database.drop_table(table)


def _uri(store: Store, table: str) -> str:
    return f"{store.search_root}/{table}.lance"


def _open(store: Store, table: str) -> Any:
    import lance

    return lance.dataset(_uri(store, table), storage_options=store.storage_options or None)


def _tags(dataset: Any) -> dict[str, int]:
    return {name: tag["version"] for name, tag in dataset.tags.list().items()}


def _versions(dataset: Any) -> dict[int, dt.datetime]:
    # The library tells local times without their zone.
    return {each["version"]: each["timestamp"].astimezone(dt.UTC) for each in dataset.versions()}

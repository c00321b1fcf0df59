"""Making versions of LanceDB tables anew without some items, as if these had never been there.

A version cannot be changed. So it is restored on top, rid of the items, and what named it names the
new one. Deleting alone leaves rows in data files, and codes, words and values in indexes.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import numpy as np
from pydantic import BaseModel

from pipelines.erasure.files import File, Folder
from pipelines.erasure.needles import Finder, Needle
from pipelines.errors import MediadexError
from pipelines.store import Store
from pipelines.tables.facts import equals_any
from pipelines.tables.indexes import standing
from pipelines.tables.vectors import HEAD, unit

_SAME = 1 - 1e-5
_ROW_IDS = ("_rowid", "ids")
# Manifests are named by this less their version, so that the newest is listed first.
_NEWEST_FIRST = 2**64 - 1


class Moved(BaseModel):
    """Which version stands for an old one, what it holds, and which items it held before."""

    version: int
    rows: int
    items: int
    erased: list[str]


def table_names(store: Store) -> list[str]:
    """Return the names of all LanceDB tables, named by a release or not."""
    files = Folder(store.root, store.storage_options).files("lance")
    places = (file.path.split("/") for file in files)
    return sorted({place[1].removesuffix(".lance") for place in places if "_versions" in place})


def renew(
    store: Store,
    name: str,
    versions: Collection[int],
    item_ids: Collection[str],
    finder: Finder,
    moved: dict[int, Moved],
    save: Callable[[], None],
) -> None:
    """Put a version without the items in the place of each of `versions` and of the newest.

    `moved` is filled, `save` called after each, and what it holds already is not done again. The
    newest content comes last, so that it is the newest version again.
    """
    table = store.database.open_table(name)
    if HEAD not in table.tags.list():
        table.tags.create(HEAD, table.version)
    head = _tagged(table, HEAD)
    wanted = {head, *versions}.intersection(left(store, name))
    for version in sorted(wanted, key=lambda each: (each == head, each)):
        if version not in moved:
            moved[version] = _renewed(store, table, version, item_ids, finder)
            # Nothing else names it yet, and cleaning must not take it.
            _tag(table, f"renewed-{version}", moved[version].version)
            save()
    table.checkout_latest()
    table.tags.update(HEAD, moved[head].version)
    if table.version != moved[head].version:
        table.restore(moved[head].version)
    table.tags.delete(HEAD)


def clean(store: Store, name: str, tags: dict[str, int]) -> int:
    """Leave of a table the newest version and those with a tag, which become the given ones.

    Returns how many versions went, with every file that only they needed.
    """
    table = store.database.open_table(name)
    for tag, version in tags.items():
        _tag(table, tag, version)
    for tag in table.tags.list().keys() - tags.keys():
        table.tags.delete(tag)
    removed = table.to_lance().cleanup_old_versions(
        older_than=dt.timedelta(0), delete_unverified=True, error_if_tagged_old_versions=False
    )
    return removed.old_versions


def left(store: Store, name: str) -> list[int]:
    """Return the versions that a table still has."""
    dataset = store.database.open_table(name).to_lance()
    return sorted(version["version"] for version in dataset.versions())


def index_entries(store: Store, name: str, version: int) -> tuple[int, int]:
    """Count the row ids that a version's indexes hold, and those of rows that it does not have.

    An index names a row for every vector code, text and value in it.
    """
    dataset = store.database.open_table(name).to_lance().checkout_version(version)
    return _entries(dataset, _index_files(_folder(store, name), dataset))


def _folder(store: Store, name: str) -> Folder:
    return Folder(f"{store.search_root}/{name}.lance", store.storage_options)


def _tag(table: Any, tag: str, version: int) -> None:
    if tag in table.tags.list():
        table.tags.update(tag, version)
    else:
        table.tags.create(tag, version)


def _tagged(table: Any, tag: str) -> int:
    return table.tags.list()[tag]["version"]


def _renewed(
    store: Store, table: Any, version: int, item_ids: Collection[str], finder: Finder
) -> Moved:
    """Return the version that stands for another: the same one where it never knew the items."""
    doomed = equals_any("item_id", item_ids)
    folder = _folder(store, table.name)
    before = table.to_lance().checkout_version(version)
    held = before.to_table(columns=["item_id"], filter=doomed)["item_id"].unique().to_pylist()
    current = version
    centred = _centres(before, finder.needles)
    if held or centred or not _is_clean(folder, before, finder):
        table.checkout_latest()
        table.restore(version)
        if held:
            table.delete(doomed)
        _compact(table)
        _rebuild_indexes(table, anew=centred)
        if not _is_clean(folder, table.to_lance(), finder):
            raise MediadexError(
                f"{table.name} still holds something of an erased item after it was made anew; "
                "run `mediadex erase` again, and report this if it stays"
            )
        current = table.version
    after = table.to_lance().checkout_version(current)
    ids = after.to_table(columns=["item_id"])["item_id"]
    return Moved(version=current, rows=len(ids), items=len(ids.unique()), erased=held)


def _compact(table: Any) -> None:
    table.to_lance().optimize.compact_files(
        materialize_deletions=True, materialize_deletions_threshold=0.0
    )
    table.checkout_latest()


def _rebuild_indexes(table: Any, anew: bool) -> None:
    """Rid indexes of rows that are gone, which stay in them when all of a fragment was deleted.

    A vector index is merged, which drops their codes, or trained `anew`.
    """
    empty = table.count_rows() == 0
    for index in table.list_indices():
        if empty:
            table.drop_index(index.name)
        elif index.columns == ["vector"] and not anew:
            table.to_lance().optimize.optimize_indices(
                index_names=[index.name], num_indices_to_merge=1_000
            )
            table.checkout_latest()
        else:
            config = _config(table, index)
            table.create_index(index.columns[0], config=config, replace=True, name=index.name)
    # The manifest of a version says how it came about, down to the ids that were deleted.
    table.restore(table.version)


def _config(table: Any, index: Any) -> Any:
    """Return the configuration by which an index is built like it was."""
    from lancedb import index as kinds

    if index.index_type == "FTS":
        said = table.to_lance().stats.index_stats(index.name)["indices"][0]["params"]
        names = {"ngram_min_length": "min_ngram_length", "ngram_max_length": "max_ngram_length"}
        fields = kinds.FTS.__dataclass_fields__
        given = {
            name: said[names.get(name, name)] for name in fields if names.get(name, name) in said
        }
        return kinds.FTS(**given)
    if index.columns == ["vector"]:
        return standing(table).config()
    return getattr(kinds, index.index_type)()


def _is_clean(folder: Folder, dataset: Any, finder: Finder) -> bool:
    """Tell whether a version has no deleted rows, no index entry of one, and none of the needles.

    Data files of live rows are not read: which rows they hold is known.
    """
    if any(fragment.num_deletions for fragment in dataset.get_fragments()):
        return False
    files = list(_index_files(folder, dataset))
    if _entries(dataset, files)[1]:
        return False
    number = f"{_NEWEST_FIRST - dataset.version:020d}"
    manifests = [file for file in folder.files("_versions") if number in file.path]
    return not any(_holds(file, finder) for file in (*files, *manifests))


def _centres(dataset: Any, needles: Iterable[Needle]) -> bool:
    """Tell whether a vector is, but for rounding, the centre of a partition that had only it."""
    sought = [np.frombuffer(each.value, "<f4") for each in needles if each.kind == "vector"]
    for index in dataset.describe_indices() if sought else ():
        if index.field_names == ["vector"]:
            centres = dataset.centroids(index_name=index.name)
            width = centres.type.list_size
            known = unit(centres.values.to_numpy().reshape(-1, width))
            own = [vector for vector in sought if len(vector) == width]
            if own and (known @ unit(np.stack(own)).T).max() > _SAME:
                return True
    return False


def _holds(file: File, finder: Finder) -> bool:
    if any(finder.in_bytes(data) for data in file.chunks(finder.longest)):
        return True
    return file.is_table and any(finder.in_columns(batch.columns) for batch in file.batches())


def _index_files(folder: Folder, dataset: Any) -> Iterator[File]:
    for index in dataset.describe_indices():
        for segment in index.segments:
            yield from folder.files(f"_indices/{segment.uuid}")


def _entries(dataset: Any, files: Iterable[File]) -> tuple[int, int]:
    live = np.array([fragment.fragment_id for fragment in dataset.get_fragments()], dtype=np.uint64)
    entries = dead = 0
    for file in files:
        names = [name for name in _ROW_IDS if file.is_table and name in file.names()]
        for batch in file.batches(names) if names else ():
            fragments = batch.column(0).to_numpy() >> np.uint64(32)
            entries += len(fragments)
            dead += int((~np.isin(fragments, live)).sum())
    return entries, dead

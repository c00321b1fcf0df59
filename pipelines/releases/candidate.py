"""Building a candidate: tables are indexed and compacted, and their versions named."""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import MediadexError
from pipelines.models.protocols import ModelChoice
from pipelines.outcomes import now
from pipelines.releases.manifest import ChannelVersion, Manifest, PassageVersion
from pipelines.releases.tuned import Choice, read_choices, read_learned
from pipelines.store import Store
from pipelines.tables.facts import equals_any, select
from pipelines.tables.indexes import VectorIndex, standing
from pipelines.tables.vectors import SearchTable, retried

_SEGMENTS = 2
_ALL_SEGMENTS = 1_000

FACTS = ("items", "segments", "texts", "findings", "outcomes")


def build(
    store: Store,
    encoders: Mapping[str, ModelChoice],
    index_rows: int,
    before: Mapping[str, Manifest],
) -> Manifest:
    """Index what grew since the releases `before` and name the versions of all tables.

    Vectors are indexed as tuning chose, else by IVF_RQ from `index_rows` rows on, and answers are
    weighed as was learned last. Rows of deleted items are dropped. The manifest has no name yet: it
    gets one when it is entered in the log.
    """
    started, versions = now(), fact_versions(store)
    searched = [store.channel(name, encoder.identity) for name, encoder in encoders.items()]
    behind_since = _follow_items(store, [*searched, store.passages])
    named = [*before.values()]
    known = {(each.table, each.version): each for old in named for each in old.channels.values()}
    choices = read_choices(store)
    channels = {
        name: _channel_version(
            store.channel(name, encoder.identity), encoder, known, choices.get(name), index_rows
        )
        for name, encoder in encoders.items()
    }
    return Manifest(
        release="",
        created_at=started,
        items=count_items(store),
        facts=versions,
        channels={name: version for name, version in channels.items() if version},
        passages=_passage_version(store.passages, [old.passages for old in named]),
        learned=read_learned(store),
        behind_since=behind_since,
    )


def count_items(store: Store) -> int:
    """Count live items."""
    sql = "SELECT count(*) AS items FROM items WHERE NOT deleted"
    counted = select(sql, pa.schema([("items", pa.int64())]), items=store.items)
    return counted["items"][0].as_py() if len(counted) else 0


def fact_versions(store: Store) -> dict[str, int]:
    """Return the present versions of the Delta tables that a release is made from."""
    versions = {name: store.facts[name].version for name in FACTS}
    return {name: version for name, version in versions.items() if version is not None}


def present(table: SearchTable) -> tuple[str, int] | None:
    """Return a table's name and newest version, `None` for one without rows."""
    opened = table.open()
    return (table.name, opened.version) if opened is not None and opened.count_rows() else None


def at_version(store: Store, table: str, version: int) -> Any:
    """Open a LanceDB table as a release has it; raises MediadexError when it was cleaned."""
    try:
        opened = store.database.open_table(table)
        opened.checkout(version)
    except (ValueError, OSError, RuntimeError) as error:
        raise MediadexError(
            f"version {version} of {table} is gone: it was cleaned after its time. "
            "`mediadex releases` lists the others; settings keep_releases and keep_days "
            "say how many stay"
        ) from error
    return opened


def protect(store: Store, manifests: Iterable[Manifest]) -> None:
    """Tag each table's version by the release that needs it, so that cleaning leaves it alone."""
    for manifest in manifests:
        for name, version in manifest.tables().items():
            tags = at_version(store, name, version).tags
            if manifest.release in tags.list():
                tags.update(manifest.release, version)
            else:
                tags.create(manifest.release, version)


def is_as_tuned(store: Store, manifest: Manifest) -> bool:
    """Tell whether a release is indexed and asked as was tuned, and weighs as was learned."""
    choices = read_choices(store)
    return manifest.learned == read_learned(store) and all(
        _stands(at_version(store, each.table, each.version), each, choice)
        for name, each in manifest.channels.items()
        if (choice := choices.get(name)) and choice.fits(each.table, each.rows)
    )


def _follow_items(store: Store, tables: Iterable[SearchTable]) -> dt.datetime | None:
    """Drop the rows of deleted items; return when the first of those changed with older rows.

    Items may be scanned again, and a release be made, before the steps that make rows have run.
    """
    items = store.items.read(["item_id", "deleted", "attributes_hash", "updated_at"])
    changed = []
    for table in tables:
        rows = table.read(["item_id", "attributes_hash"])
        of = items.take(pc.index_in(rows["item_id"], value_set=items["item_id"]))
        if gone := of.filter(of["deleted"])["item_id"].unique().to_pylist():
            table.remove(table.read(["key"], equals_any("item_id", gone))["key"].to_pylist())
        # What is copied of an item may be followed by `@` and the times of a row.
        copied = pc.replace_substring_regex(rows["attributes_hash"], "@.*$", "")
        is_same = pc.fill_null(pc.equal(copied, of["attributes_hash"]), False)
        older = of.filter(pc.and_not(pc.invert(of["deleted"]), is_same))
        changed.append(pc.min(older["updated_at"]).as_py())
    return min(filter(None, changed), default=None)


def _stands(table: Any, version: ChannelVersion, choice: Choice) -> bool:
    as_asked = {"nprobes": version.nprobes, "refine": version.refine} == choice.asked()
    return (as_asked or not version.indexed) and choice.stands_in(table)


def _channel_version(
    search: SearchTable,
    encoder: ModelChoice,
    known: Mapping[tuple[str, int], ChannelVersion],
    choice: Choice | None,
    index_rows: int,
) -> ChannelVersion | None:
    table = search.open(write=True)
    if table is None or table.count_rows() == 0:
        return None
    rows = table.count_rows()
    if choice is not None and not choice.fits(search.name, rows):
        choice = None
    old = known.get((search.name, table.version))
    if old is not None and (choice is None or choice.stands_in(table)):
        asked = choice.asked() if choice else {}
        return old.model_copy(update={"spec": encoder.spec, **asked})
    indexed = _index_vectors(table, choice, rows, index_rows)
    _index_attributes(table, rows, index_rows)
    _compact(table)
    ids = table.search().select(["item_id"]).to_arrow()["item_id"]
    return ChannelVersion(
        table=search.name,
        version=table.version,
        rows=len(ids),
        items=len(ids.unique()),
        spec=encoder.spec,
        identity=json.loads(encoder.identity.as_json()),
        indexed=indexed,
        **(choice.asked() if choice else {}),
    )


def _passage_version(
    search: SearchTable, known: Collection[PassageVersion | None]
) -> PassageVersion | None:
    table = search.open(write=True)
    if table is None or table.count_rows() == 0:
        return None
    for old in known:
        if old is not None and old.version == table.version:
            return old
    from lancedb.index import FTS

    if not _has_index(table, "text"):
        retried(table, lambda: table.create_index("text", config=FTS()))
    _compact(table)
    return PassageVersion(table=search.name, version=table.version, rows=table.count_rows())


def _has_index(table: Any, column: str) -> bool:
    return any(column in index.columns for index in table.list_indices())


def _index_vectors(table: Any, choice: Choice | None, rows: int, index_rows: int) -> bool:
    """Build the index that was chosen, else IVF_RQ once an exact scan is slower, where it lacks."""
    if choice is None and rows < index_rows and standing(table).index == "exact":
        return False
    wanted: VectorIndex = choice or VectorIndex()
    if not wanted.stands_in(table):
        wanted.build(table)
    return wanted.index != "exact"


def _index_attributes(table: Any, rows: int, index_rows: int) -> None:
    """Index the attributes that people filter by, where a scan of them would be felt."""
    if rows < index_rows:
        return
    from lancedb.index import Bitmap, BTree, LabelList

    wanted: dict[str, Any]
    wanted = {name: Bitmap() for name in ("kind", "region", "domain", "usage_rights", "consent")}
    wanted |= {name: BTree() for name in ("item_id", "published_at")}
    wanted |= {name: LabelList() for name in ("tags", "access")}
    indexed = {column for index in table.list_indices() for column in index.columns}
    for column, config in wanted.items():
        if column in table.schema.names and column not in indexed:
            retried(table, partial(table.create_index, column, config=config))


def _compact(table: Any) -> None:
    """Merge small fragments and bring indexes up to date; old versions stay for their releases."""
    retried(table, lambda: table.optimize(cleanup_older_than=dt.timedelta(days=36_500)))
    # Each round may add a segment to an index, and a query asks every one of them.
    indexes = table.to_lance().describe_indices()
    if max((len(index.segments) for index in indexes), default=0) > _SEGMENTS:
        optimize = table.to_lance().optimize
        retried(table, lambda: optimize.optimize_indices(num_indices_to_merge=_ALL_SEGMENTS))
        table.checkout_latest()

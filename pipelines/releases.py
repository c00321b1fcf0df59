"""Releases: immutable manifests that name every table's version and every model's identity.

Tables move on; a release does not. Appending a manifest to `releases` is the one commit that makes
new rows visible to search, so an interrupted run leaves the last release serving.
"""

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from pipelines.errors import NotReleased
from pipelines.models.protocols import ModelChoice
from pipelines.outcomes import now
from pipelines.store import Store
from pipelines.tables.vectors import SearchTable


class ChannelVersion(BaseModel):
    """One channel's table in a release: `rows` vectors of `items` items."""

    table: str
    version: int
    rows: int
    items: int
    spec: str
    identity: dict[str, Any]
    indexed: bool


class PassageVersion(BaseModel):
    """The full-text table in a release."""

    table: str
    version: int
    rows: int


class Manifest(BaseModel):
    """Everything that search needs to know of a release."""

    release: str
    created_at: dt.datetime
    items: int
    facts: dict[str, int]
    channels: dict[str, ChannelVersion]
    passages: PassageVersion | None

    def contents(self) -> dict[str, Any]:
        """Return what makes one release differ from another."""
        return self.model_dump(exclude={"release", "created_at", "facts"})


def latest(store: Store) -> Manifest | None:
    """Return the newest release, `None` before the first."""
    rows = store.releases.rows(["release", "manifest"])
    if not rows:
        return None
    return Manifest.model_validate_json(max(rows, key=lambda row: row["release"])["manifest"])


def require(store: Store) -> Manifest:
    """Return the newest release; raises NotReleased with the way out when there is none."""
    manifest = latest(store)
    if manifest is None:
        raise NotReleased("nothing is released yet; run `mediadex index FOLDER` first")
    return manifest


def publish(
    store: Store, encoders: Mapping[str, ModelChoice], index_rows: int
) -> tuple[Manifest, bool]:
    """Index what grew, name the versions of all tables and append the manifest.

    Returns the manifest and whether it is new: with nothing changed, the last one stands.
    """
    before = latest(store)
    channels = {}
    for name, encoder in encoders.items():
        version = _channel_version(store, name, encoder, before, index_rows)
        if version is not None:
            channels[name] = version
    manifest = Manifest(
        release=_next_name(before),
        created_at=now(),
        items=store.items.read(["item_id"], "deleted = false").num_rows,
        facts=_fact_versions(store),
        channels=channels,
        passages=_passage_version(store, before),
    )
    if before is not None and before.contents() == manifest.contents():
        return before, False
    named: list[ChannelVersion | PassageVersion] = [*channels.values()]
    named += [manifest.passages] if manifest.passages else []
    for each in named:
        _tag(store, each.table, each.version, manifest.release)
    store.releases.append(
        [
            {
                "release": manifest.release,
                "created_at": manifest.created_at,
                "manifest": manifest.model_dump_json(),
            }
        ]
    )
    return manifest, True


def is_current(store: Store, encoders: Mapping[str, ModelChoice]) -> bool:
    """Tell whether the newest release names the present state of every table."""
    manifest = latest(store)
    if manifest is None:
        return False
    tables = {name: store.channel(name, encoder.identity) for name, encoder in encoders.items()}
    present = {name: _version(table) for name, table in tables.items()}
    released = {
        name: (version.table, version.version) for name, version in manifest.channels.items()
    }
    passages = manifest.passages and (manifest.passages.table, manifest.passages.version)
    return (
        {name: version for name, version in present.items() if version} == released
        and _version(store.passages) == passages
        and manifest.items == store.items.read(["item_id"], "deleted = false").num_rows
    )


def _version(search: SearchTable) -> tuple[str, int] | None:
    table = search.open()
    return (search.name, table.version) if table is not None and table.count_rows() else None


def _next_name(before: Manifest | None) -> str:
    return f"r{int(before.release[1:]) + 1 if before else 1:06d}"


def _fact_versions(store: Store) -> dict[str, int]:
    tables = {
        name: getattr(store, name).version for name in ("items", "segments", "texts", "findings")
    }
    return {name: version for name, version in tables.items() if version is not None}


def _channel_version(
    store: Store, name: str, encoder: ModelChoice, before: Manifest | None, index_rows: int
) -> ChannelVersion | None:
    search = store.channel(name, encoder.identity)
    table = search.open()
    if table is None or table.count_rows() == 0:
        return None
    old = before.channels.get(name) if before else None
    if old is not None and (old.table, old.version) == (search.name, table.version):
        return old
    rows = table.count_rows()
    indexed = _index_vectors(table, rows, index_rows)
    _index_attributes(table, rows, index_rows)
    _compact(table)
    ids = table.search().select(["item_id"]).to_arrow()["item_id"]
    return ChannelVersion(
        table=search.name,
        version=table.version,
        rows=rows,
        items=len(ids.unique()),
        spec=encoder.spec,
        identity=json.loads(encoder.identity.as_json()),
        indexed=indexed,
    )


def _passage_version(store: Store, before: Manifest | None) -> PassageVersion | None:
    table = store.passages.open()
    if table is None or table.count_rows() == 0:
        return None
    old = before.passages if before else None
    if old is not None and old.version == table.version:
        return old
    from lancedb.index import FTS

    if not _has_index(table, "text"):
        table.create_index("text", config=FTS())
    _compact(table)
    return PassageVersion(table=store.passages.name, version=table.version, rows=table.count_rows())


def _has_index(table: Any, column: str) -> bool:
    return any(column in index.columns for index in table.list_indices())


def _index_vectors(table: Any, rows: int, index_rows: int) -> bool:
    """Build the vector index once a table is so large that an exact scan is slower."""
    if _has_index(table, "vector"):
        return True
    if rows < index_rows:
        return False
    from lancedb.index import IvfRq

    table.create_index("vector", config=IvfRq(distance_type="cosine"))
    return True


def _index_attributes(table: Any, rows: int, index_rows: int) -> None:
    """Index the attributes that people filter by, where a scan of them would be felt."""
    if rows < index_rows or _has_index(table, "region"):
        return
    from lancedb.index import Bitmap, BTree, LabelList

    for column in ("kind", "region", "domain", "usage_rights", "consent"):
        table.create_index(column, config=Bitmap())
    for column in ("item_id", "published_at"):
        table.create_index(column, config=BTree())
    table.create_index("tags", config=LabelList())


def _compact(table: Any) -> None:
    """Merge small fragments and bring indexes up to date; old versions stay for their releases."""
    table.optimize(cleanup_older_than=dt.timedelta(days=36_500))


def _tag(store: Store, table: str, version: int, release: str) -> None:
    """Protect a version from cleaning; a tag left by a run that died before its manifest moves."""
    import lancedb

    opened = lancedb.connect(store.search_root, storage_options=store.storage_options).open_table(
        table
    )
    if release in opened.tags.list():
        opened.tags.update(release, version)
    else:
        opened.tags.create(release, version)

"""The catalog while one source is registered: ids, batches and origins of items.

An item keeps its id and batch when its bytes or its place change; the same bytes from two places
are one item with two origins, of which the stricter one governs; an item without any origin left
is deleted. Of the table of items only the places of the source stay in memory; items are read when
files touch them.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines import outcomes
from pipelines.attributes import attributes_of
from pipelines.catalog import metadata
from pipelines.catalog.merging import merged
from pipelines.catalog.saying import Asked, Said
from pipelines.errors import MediadexError
from pipelines.recipes import digest, digest_json
from pipelines.store import Store
from pipelines.tables.facts import FactTable, equals_any, quoted, select

_PLACES = """
SELECT origin['uri'] AS uri, item_id, origin['fingerprint'] AS fingerprint,
       origin['metadata_hash'] AS metadata_hash, origin['source'] = {source} AS own
FROM (SELECT item_id, unnest(origins) AS origin FROM items)
WHERE origin['source'] = {source} OR origin['uri'] = {source}
   OR starts_with(origin['uri'], {below})
"""
_PLACE = pa.schema(
    [
        ("uri", pa.string()),
        ("item_id", pa.string()),
        ("fingerprint", pa.string()),
        ("metadata_hash", pa.string()),
        ("own", pa.bool_()),
    ]
)
_SIZES = "SELECT batch, COUNT(*) AS items FROM items WHERE batch >= {today} GROUP BY batch"
_SIZE = pa.schema([("batch", pa.string()), ("items", pa.int64())])


_SUBTITLES = ("subtitles", "subtitles_hash")


class IdTaken(MediadexError):
    """A claimed id that other bytes have; whether it stays taken is seen at the next run."""


class Place(NamedTuple):
    """What is known of a uri; `own` tells whether this source registered it or an overlapping."""

    item_id: str
    fingerprint: str
    metadata_hash: str
    own: bool


class _State(NamedTuple):
    """An item as it was before or is after a run; `essence` is equal if nothing happened to it."""

    batch: str
    deleted: bool
    essence: str


class Catalog:
    """The items that files of one source touch, with their unwritten changes.

    `asked` tells what is said of origins that are not registered just now. While it does not know,
    an item keeps all that governs it, and more can only be added.
    """

    def __init__(
        self, store: Store, source: str, batch_items: int, asked: Asked = lambda origin: None
    ):
        self._ask = asked
        self._store = store
        self._source = source
        self._limit = batch_items
        self._before: dict[str, _State | None] = {}
        self._after: dict[str, _State] = {}
        query = _PLACES.format(source=quoted(source), below=quoted(f"{source.rstrip('/')}/"))
        places = select(query, _PLACE, items=store.items)
        self._places = {
            uri: Place(*known)
            for batch in places.to_batches()
            for uri, *known in zip(*(column.to_pylist() for column in batch), strict=True)
        }
        self._begin()

    def _begin(self) -> None:
        """Drop what was read for one group of files."""
        self._items: dict[str, dict[str, Any]] = {}
        self._by_content: dict[str, set[str]] = defaultdict(set)
        self._asked: set[tuple[str, str]] = set()
        self._dirty: set[str] = set()
        self._findings: dict[str, list[dict[str, Any]]] = {}
        self._said: dict[str, Said] = {}

    @cached_property
    def _size(self) -> dict[str, int]:
        """Items by batch; batches of earlier days are never added to."""
        query = _SIZES.format(today=quoted(_today()))
        rows = select(query, _SIZE, items=self._store.items).to_pylist()
        return defaultdict(int, {row["batch"]: row["items"] for row in rows})

    def place(self, uri: str) -> Place | None:
        """Return what is known of a uri of this source."""
        return self._places.get(uri)

    def expect(self, files: Iterable[tuple[str, str | None, Any]]) -> None:
        """Read in one query every item that files may touch.

        Files are given by uri and, where they are to be registered, content hash and claimed id.
        """
        asked: set[tuple[str, str]] = set()
        for uri, content, claimed in files:
            if place := self._places.get(uri):
                asked.add(("item_id", place.item_id))
            if claimed is not None:
                asked.add(("item_id", str(claimed)))
            if content is not None:
                asked |= {("item_id", made) for made in _made_ids(content, uri)}
                asked.add(("content_hash", content))
        asked -= self._asked
        if not asked:
            return
        self._asked |= asked
        named = {
            column: equals_any(column, (value for name, value in asked if name == column))
            for column in ("item_id", "content_hash")
        }
        for row in self._store.items.rows(where=" OR ".join(named.values())):
            # What was read before may have changed since.
            if row["item_id"] not in self._items:
                self._items[row["item_id"]] = row
                self._by_content[row["content_hash"]].add(row["item_id"])

    def register(
        self,
        origin: Mapping[str, Any],
        content: Mapping[str, Any],
        described: Mapping[str, Any] | None,
        findings: list[dict[str, Any]],
    ) -> None:
        """Note a file's origin, content and redacted metadata in its item, found or made.

        With `described=None` the item keeps what was said of it. Raises IdTaken when the metadata
        claims an id that other bytes already have.
        """
        uri, content_hash = origin["uri"], content["content_hash"]
        claimed = (described or {}).get("item_id")
        self.expect([(uri, content_hash, claimed)])
        known = self._places.get(uri)
        item_id = self._identify(uri, known and known.item_id, content_hash, claimed)
        if known is not None and known.item_id != item_id:
            self.forget(uri)
        item = self._touch(item_id)
        others = [entry for entry in item["origins"] if entry["uri"] != uri]
        if described:
            self._said[uri] = Said(dict(described), findings)
        # A copy that says nothing about itself takes nothing from one that does.
        elif described is not None and not any(entry["metadata_hash"] for entry in others):
            item |= metadata.columns({})
            self._findings[item_id] = []
        self._by_content[item.get("content_hash", "")].discard(item_id)
        self._by_content[content_hash].add(item_id)
        told = {name: item.get(name) for name in _SUBTITLES}
        item |= content
        if not content.get("subtitles") and any(_beside(told, entry["uri"]) for entry in others):
            item |= told
        item |= {
            "origins": sorted([*others, dict(origin)], key=lambda entry: entry["uri"]),
            "deleted": False,
        }
        own = origin["source"] == self._source
        self._places[uri] = Place(item_id, origin["fingerprint"], origin["metadata_hash"], own)

    def _touch(self, item_id: str) -> dict[str, Any]:
        """Return an item to be changed, made if need be, and remember how it was."""
        item = self._items.get(item_id)
        if item_id not in self._before:
            self._before[item_id] = _state(item) if item else None
        self._dirty.add(item_id)
        if item is None:
            batch = self._next_batch()
            self._size[batch] += 1
            item = self._items[item_id] = {
                "item_id": item_id,
                "batch": batch,
                "origins": [],
                "registered_at": outcomes.now(),
                **metadata.columns({}),
            }
        return item

    def changes(self) -> dict[str, str]:
        """Return what was written of items in this run: `new`, `changed` or `deleted`."""
        found = {
            item_id: _change(self._before[item_id], after) for item_id, after in self._after.items()
        }
        return {item_id: change for item_id, change in found.items() if change}

    def batches(self, changed: Iterable[str]) -> set[str]:
        """Return the batches that changed items belong to."""
        return {self._after[item_id].batch for item_id in changed}

    def registered(self) -> set[str]:
        """Return the ids of the items that have an origin in this source."""
        return {place.item_id for place in self._places.values() if place.own}

    def _describe(self, item: dict[str, Any]) -> None:
        """Let an item be what its origins say of it together; what none says by now stays."""
        speaking = [origin for origin in item["origins"] if origin["metadata_hash"]]
        asked = [self._said.get(origin["uri"]) or self._ask(origin) for origin in speaking]
        said = [each for each in asked if each is not None]
        if not said:
            return
        rows = [metadata.columns(each.described) for each in said]
        if len(said) < len(asked):
            rows.append({name: item[name] for name in rows[0]})
        else:
            findings = {digest_json(each): each for told in said for each in told.findings}
            self._findings[item["item_id"]] = list(findings.values())
        item |= merged(rows)

    def _identify(self, uri: str, current: str | None, content: str, claimed: Any) -> str:
        if claimed is not None:
            taken = self._items.get(str(claimed))
            others = [entry for entry in taken["origins"] if entry["uri"] != uri] if taken else []
            if taken and others and taken["content_hash"] != content:
                raise IdTaken(
                    f"its item_id is already used by other bytes at {others[0]['uri']}; "
                    "give one of them another id"
                )
            return str(claimed)
        if current is not None:
            item = self._items[current]
            if len(item["origins"]) == 1 or item["content_hash"] == content:
                return current
        if equal := self._by_content[content]:
            # Bytes that are known twice belong to the item that still exists.
            return min(equal, key=lambda item_id: (self._items[item_id]["deleted"], item_id))
        short, long = _made_ids(content, uri)
        return short if short not in self._items else long

    def _next_batch(self) -> str:
        """Return today's newest batch while it has room, else a new one."""
        today = _today()
        batches = (name for name in self._size if name.startswith(today))
        batch = max(batches, key=lambda name: (len(name), name), default=f"{today}.000")
        if self._size.get(batch, 0) >= self._limit:
            batch = f"{today}.{int(batch.rsplit('.', 1)[1]) + 1:03d}"
        return batch

    def forget(self, uri: str) -> None:
        """Take an origin from its item, which is deleted if it was the last."""
        self.expect([(uri, None, None)])
        item = self._touch(self._places.pop(uri).item_id)
        item["origins"] = [origin for origin in item["origins"] if origin["uri"] != uri]
        if _beside(item, uri):
            item |= dict.fromkeys(_SUBTITLES)
        item["deleted"] = not item["origins"]

    def vanished(self, present: set[str], unreadable: Iterable[str]) -> list[str]:
        """Return the uris of this source that are not present, save below unreadable places."""
        unknown = tuple(f"{uri.rstrip('/')}/" for uri in unreadable)
        return sorted(
            uri
            for uri, place in self._places.items()
            if place.own and uri not in present and not f"{uri}/".startswith(unknown)
        )

    def flush(self) -> None:
        """Write every change.

        Texts come before items: an item on record is one whose metadata has been written.
        """
        items = [self._items[item_id] for item_id in sorted(self._dirty)]
        for item in items:
            self._describe(item)
            # Not sooner: a release of meanwhile would take this change for an older one.
            item["updated_at"] = outcomes.now()
            item["attributes_hash"] = None if item["deleted"] else attributes_of(item).key
        described = [item for item in items if item["deleted"] or item["item_id"] in self._findings]
        findings = [
            {**finding, "item_id": item["item_id"], "batch": item["batch"]}
            for item in described
            if not item["deleted"]
            for finding in self._findings[item["item_id"]]
        ]
        texts = [text for item in items for text in metadata.texts(item)]
        of_metadata = f"segment = {quoted(metadata.SEGMENT)}"
        _replace(self._store.findings, described, findings, of_metadata)
        _replace(self._store.texts, items, texts, of_metadata)
        _replace(self._store.items, items, items)
        self._after |= {item["item_id"]: _state(item) for item in items}
        self._begin()


def _today() -> str:
    return outcomes.now().date().isoformat()


def _beside(item: Mapping[str, Any], uri: str) -> bool:
    """Say whether the subtitles of an item lie beside one of its files."""
    stem, _ = posixpath.splitext(item.get("subtitles") or "")
    return stem == posixpath.splitext(uri)[0]


def _made_ids(content: str, uri: str) -> tuple[str, str]:
    """Return the id that new bytes get, and the one that they get where it is in use."""
    return content[:16], digest(content, uri)[:16]


def _replace(
    table: FactTable,
    items: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    which: str = "true",
) -> None:
    """Replace what a table has of some items; by their batches most of its files are passed by."""
    if not items:
        return
    where = " AND ".join(
        equals_any(column, {item[column] for item in items}) for column in ("batch", "item_id")
    )
    where += f" AND {which}"
    if rows or table.read(["batch"], where).num_rows:
        table.replace(where, rows)


def _state(item: Mapping[str, Any]) -> _State:
    """Return the state of an item; nothing of it is a file's time stamp or made from the rest."""
    left_out = {"origins", "updated_at", "attributes_hash"}
    said = {key: value for key, value in item.items() if key not in left_out}
    places = [(origin["uri"], origin["source"]) for origin in item["origins"]]
    return _State(item["batch"], item["deleted"], digest_json([said, places]))


def _change(before: _State | None, after: _State) -> str | None:
    """Tell what happened to an item; `None` where nothing but a file's time stamp differs."""
    if before is None or before.deleted:
        return None if after.deleted else "new"
    if after.deleted:
        return "deleted"
    return None if before.essence == after.essence else "changed"

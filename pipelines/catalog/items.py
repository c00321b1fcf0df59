"""All items in memory while a source is registered: their ids, batches and origins.

An item keeps its id and batch when its bytes or its place change; the same bytes from two places
are one item with two origins; an item without any origin left is deleted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines import outcomes
from pipelines.catalog import metadata
from pipelines.errors import MediadexError
from pipelines.recipes import digest
from pipelines.store import Store
from pipelines.tables.facts import FactTable, equals_any, quoted


class IdTaken(MediadexError):
    """A claimed id that other bytes have; whether it stays taken is seen at the next run."""


class Catalog:
    """The table of items, indexed by id, origin and content, with its unwritten changes."""

    def __init__(self, store: Store, batch_items: int):
        self._store = store
        self._limit = batch_items
        self._items: dict[str, dict[str, Any]] = {row["item_id"]: row for row in store.items.rows()}
        self._by_uri: dict[str, str] = {}
        self._by_content: dict[str, str] = {}
        self._size: dict[str, int] = defaultdict(int)
        self._dirty: set[str] = set()
        self._findings: dict[str, list[dict[str, Any]]] = {}
        self._before: dict[str, dict[str, Any] | None] = {}
        # Bytes that are known twice belong to the item that still exists.
        for item_id, row in sorted(self._items.items(), key=lambda e: (e[1]["deleted"], e[0])):
            self._size[row["batch"]] += 1
            self._by_content.setdefault(row["content_hash"], item_id)
            for origin in row["origins"]:
                self._by_uri[origin["uri"]] = item_id

    def origin(self, uri: str) -> dict[str, Any] | None:
        """Return the stored origin at a uri, if there is one."""
        item = self._items.get(self._by_uri.get(uri, ""))
        return item and next(origin for origin in item["origins"] if origin["uri"] == uri)

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
        current = self._by_uri.get(uri)
        item_id = self._identify(uri, current, content_hash, (described or {}).get("item_id"))
        if current is not None and current != item_id:
            self.forget(uri)
        item = self._touch(item_id)
        others = [entry for entry in item["origins"] if entry["uri"] != uri]
        # A copy that says nothing about itself takes nothing from one that does.
        silent = any(entry["metadata_hash"] for entry in others)
        if described or (described is not None and not silent):
            item |= metadata.columns(described)
            self._findings[item_id] = findings
        if self._by_content.get(item.get("content_hash", "")) == item_id:
            del self._by_content[item["content_hash"]]
        item |= content
        item |= {
            "origins": sorted([*others, dict(origin)], key=lambda entry: entry["uri"]),
            "deleted": False,
            "updated_at": outcomes.now(),
        }
        self._by_uri[uri] = item_id
        self._by_content[content_hash] = item_id

    def _touch(self, item_id: str) -> dict[str, Any]:
        """Return an item to be changed, made if need be, and remember how it was."""
        item = self._items.get(item_id)
        self._before.setdefault(item_id, item and dict(item))
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
        """Return what happened to items since they were read: `new`, `changed` or `deleted`."""
        found = {
            item_id: _change(row, self._items[item_id]) for item_id, row in self._before.items()
        }
        return {item_id: change for item_id, change in found.items() if change}

    def batches(self, item_ids: Iterable[str]) -> set[str]:
        """Return the batches that the items belong to."""
        return {self._items[item_id]["batch"] for item_id in item_ids}

    def of_source(self, source: str) -> set[str]:
        """Return the ids of the items that have an origin in a source."""
        return {
            item_id
            for item_id, item in self._items.items()
            if any(origin["source"] == source for origin in item["origins"])
        }

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
        if content in self._by_content:
            return self._by_content[content]
        item_id = content[:16]
        return item_id if item_id not in self._items else digest(content, uri)[:16]

    def _next_batch(self) -> str:
        """Return today's newest batch while it has room, else a new one."""
        today = outcomes.now().date().isoformat()
        batches = (name for name in self._size if name.startswith(today))
        batch = max(batches, key=lambda name: (len(name), name), default=f"{today}.000")
        if self._size.get(batch, 0) >= self._limit:
            batch = f"{today}.{int(batch.rsplit('.', 1)[1]) + 1:03d}"
        return batch

    def forget(self, uri: str) -> None:
        """Take an origin from its item, which is deleted if it was the last."""
        item = self._touch(self._by_uri.pop(uri))
        item["origins"] = [origin for origin in item["origins"] if origin["uri"] != uri]
        item["deleted"] = not item["origins"]
        item["updated_at"] = outcomes.now()

    def vanished(self, source: str, present: set[str], unreadable: Iterable[str]) -> list[str]:
        """Return the uris of a source that are not present, save at or below unreadable places."""
        unknown = tuple(f"{uri.rstrip('/')}/" for uri in unreadable)
        return sorted(
            origin["uri"]
            for item in self._items.values()
            for origin in item["origins"]
            if origin["source"] == source
            and origin["uri"] not in present
            and not f"{origin['uri']}/".startswith(unknown)
        )

    def flush(self) -> None:
        """Write every change, batch by batch.

        Texts come before items: an item on record is one whose metadata has been written.
        """
        batches: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for item_id in sorted(self._dirty):
            batches[self._items[item_id]["batch"]].append(self._items[item_id])
        for batch, items in sorted(batches.items()):
            described = [
                item["item_id"]
                for item in items
                if item["deleted"] or item["item_id"] in self._findings
            ]
            findings = [
                {**finding, "item_id": item["item_id"], "batch": batch}
                for item in items
                if not item["deleted"]
                for finding in self._findings.get(item["item_id"], [])
            ]
            _replace(self._store.findings, batch, described, findings, "metadata")
            texts = [text for item in items for text in metadata.texts(item)]
            ids = [item["item_id"] for item in items]
            _replace(self._store.texts, batch, ids, texts, "meta")
            _replace(self._store.items, batch, ids, items)
        self._dirty.clear()
        self._findings.clear()


def _replace(
    table: FactTable,
    batch: str,
    ids: Iterable[str],
    rows: list[dict[str, Any]],
    source: str | None = None,
) -> None:
    where = f"batch = {quoted(batch)} AND {equals_any('item_id', ids)}"
    if source:
        where += f" AND source = {quoted(source)}"
    if rows or table.read(["batch"], where).num_rows:
        table.replace(where, rows)


def _change(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str | None:
    """Tell what happened to an item; `None` where nothing but a file's time stamp differs."""

    def essence(item: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **{key: value for key, value in item.items() if key not in {"origins", "updated_at"}},
            "places": [(origin["uri"], origin["source"]) for origin in item["origins"]],
        }

    if before is None or before["deleted"]:
        return None if after["deleted"] else "new"
    if after["deleted"]:
        return "deleted"
    return None if essence(before) == essence(after) else "changed"

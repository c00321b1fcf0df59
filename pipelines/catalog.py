"""All items in memory while a source is registered: their ids, batches and origins.

An item keeps its id and batch when its bytes or its place change; the same bytes from two places
are one item with two origins; an item without any origin left is deleted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines import metadata, outcomes
from pipelines.errors import BadInput
from pipelines.recipes import digest
from pipelines.store import Store
from pipelines.tables.facts import FactTable, equals_any, quoted


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
        for item_id, row in sorted(self._items.items()):
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
        described: Mapping[str, Any],
        findings: list[dict[str, Any]],
    ) -> tuple[str, list[dict[str, Any]]]:
        """Note a file's origin, content and redacted metadata in its item, found or made.

        Returns what happened to that item (`new`, `changed` or `unchanged`) with the items that
        were touched, among them one that lost this origin. Raises BadInput when the metadata claims
        an id that other bytes already have.
        """
        uri = origin["uri"]
        current = self._by_uri.get(uri)
        item_id = self._identify(uri, current, content["content_hash"], described.get("item_id"))
        touched = []
        if current is not None and current != item_id:
            touched.append(self.forget(uri))
        item = self._items.get(item_id)
        before = None if item is None or not item["origins"] else dict(item)
        if item is None:
            batch = self._next_batch()
            self._size[batch] += 1
            item = {"item_id": item_id, "batch": batch, "origins": [], "registered_at": outcomes.now()}
            self._items[item_id] = item
        others = [entry for entry in item["origins"] if entry["uri"] != uri]
        # A second copy that says nothing about itself takes nothing from the first.
        if described or not others:
            item |= metadata.columns(described)
            self._findings[item_id] = findings
        item |= content
        item |= {
            "origins": sorted([*others, dict(origin)], key=lambda entry: entry["uri"]),
            "deleted": False,
            "updated_at": outcomes.now(),
        }
        self._by_uri[uri] = item_id
        self._by_content[content["content_hash"]] = item_id
        self._dirty.add(item_id)
        return ("new" if before is None else _change(before, item)), [*touched, item]

    def _identify(self, uri: str, current: str | None, content: str, claimed: Any) -> str:
        if claimed is not None:
            taken = self._items.get(str(claimed))
            others = [entry for entry in taken["origins"] if entry["uri"] != uri] if taken else []
            if taken and others and taken["content_hash"] != content:
                raise BadInput(
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
        batch = max((name for name in self._size if name.startswith(today)), default=f"{today}.000")
        if self._size.get(batch, 0) >= self._limit:
            batch = f"{today}.{int(batch.rsplit('.', 1)[1]) + 1:03d}"
        return batch

    def forget(self, uri: str) -> dict[str, Any]:
        """Take an origin from its item and return the item, deleted if it was the last."""
        item = self._items[self._by_uri.pop(uri)]
        item["origins"] = [origin for origin in item["origins"] if origin["uri"] != uri]
        item["deleted"] = not item["origins"]
        item["updated_at"] = outcomes.now()
        self._dirty.add(item["item_id"])
        return item

    def vanished(self, source: str, present: set[str], unknown: tuple[str, ...]) -> list[str]:
        """Return the uris of a source that are not present, except below unreadable places."""
        return sorted(
            origin["uri"]
            for item in self._items.values()
            for origin in item["origins"]
            if origin["source"] == source
            and origin["uri"] not in present
            and not origin["uri"].startswith(unknown)
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
                item["item_id"] for item in items if item["deleted"] or item["item_id"] in self._findings
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


def _change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Tell whether anything but a file's time stamp differs."""

    def essence(item: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **{key: value for key, value in item.items() if key not in {"origins", "updated_at"}},
            "places": [(origin["uri"], origin["source"]) for origin in item["origins"]],
        }

    return "unchanged" if essence(before) == essence(after) else "changed"

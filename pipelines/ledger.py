"""Erasures: what must not be found by any query, in any release, and must not come back.

An erasure holds from the moment it is written. Until its purge the ledger names the item, so that
searches can leave it out; afterwards only digests stay, by which a scan knows it again.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import MediadexError
from pipelines.outcomes import now
from pipelines.recipes import digest
from pipelines.store import Store
from pipelines.tables.facts import equals_any, quoted

ERASED, PURGED = "erased", "purged"


@dataclass(frozen=True)
class Barred:
    """Digests of the contents and places of erased items, which a scan must not register again."""

    contents: frozenset[str]
    places: frozenset[str]

    def bars(self, uri: str, content_hash: str) -> bool:
        """Tell whether a file is one that was erased: the same bytes, or another in its place."""
        return mark(content_hash) in self.contents or mark(uri) in self.places


def mark(value: str) -> str:
    """Return the digest by which the ledger remembers an id, a content hash or a uri."""
    return digest("ledger", value)


def barred(store: Store) -> Barred:
    """Read what must not be registered again."""
    rows = store.ledger.rows(["contents", "places"])
    return Barred(
        frozenset(value for row in rows for value in row["contents"] or ()),
        frozenset(value for row in rows for value in row["places"] or ()),
    )


def pending(store: Store) -> list[str]:
    """Return the ids of erased items whose bytes are still there: no answer may show them."""
    rows = store.ledger.rows(["event", "item_id"], "item_id IS NOT NULL")
    return sorted({row["item_id"] for row in rows})


def hidden_by(item_ids: Iterable[str]) -> str | None:
    """Return the SQL condition that leaves items out, `None` when there is nothing to leave out."""
    ids = list(item_ids)
    return f"NOT ({equals_any('item_id', ids)})" if ids else None


def owned_by(store: Store, owner: str) -> list[str]:
    """Return the ids of an owner's items, also of those whose files are gone from their sources.

    Raises MediadexError when there are none.
    """
    ids = store.items.read(["item_id"], f"owner = {quoted(owner)}")["item_id"].to_pylist()
    if not ids:
        raise MediadexError(
            "no item on record has this owner; it must be written as in the metadata"
        )
    return sorted(ids)


def erase(
    store: Store, item_ids: Collection[str], reason: str, *, places: bool = True
) -> list[dict[str, Any]]:
    """Hide items from every answer from now on, and keep scans from registering them again.

    Their bytes are barred, and with `places` whatever else comes to lie where they lay. `reason`
    stays on record for good. Returns the new rows of the ledger, none for an item that was
    erased before. Raises MediadexError, and erases nothing, where an id is not on record.
    """
    with store.lock.shared():
        items = {
            row["item_id"]: row
            for row in store.items.rows(where=equals_any("item_id", set(item_ids)))
        }

        def events(before: list[dict[str, Any]]) -> list[dict[str, Any]]:
            known = {row["subject"] for row in before}
            unknown = [i for i in item_ids if i not in items and mark(i) not in known]
            if unknown:
                raise MediadexError(
                    f"no item has the id {', '.join(map(repr, sorted(unknown)))}, and nothing was "
                    "erased; an id stands beside each result of `mediadex search --json`"
                )
            first = max((row["sequence"] for row in before), default=0) + 1
            waiting = {row["item_id"] for row in before}
            new = sorted(items.keys() - waiting)
            return [
                _erased(number, items[item_id], reason, places)
                for number, item_id in enumerate(new, first)
            ]

        added = [dict(row) for row in store.ledger.append_after(events)]
        # Also where a run was killed between the two.
        live = [row | {"deleted": True} for row in items.values() if not row["deleted"]]
        if live:
            store.items.replace(equals_any("item_id", {row["item_id"] for row in live}), live)
        return added


def _erased(sequence: int, item: Mapping[str, Any], reason: str, places: bool) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "event": ERASED,
        "subject": mark(item["item_id"]),
        "item_id": item["item_id"],
        "contents": [mark(item["content_hash"])] if item["content_hash"] else [],
        "places": [mark(origin["uri"]) for origin in item["origins"] or () if places],
        "reason": reason,
        "at": now(),
    }


def settle(store: Store, item_ids: Collection[str]) -> None:
    """Note in one commit that items were purged, and forget their ids; digests stay."""
    rows = store.ledger.rows(where=equals_any("item_id", item_ids))
    if not rows:
        return
    last = max(store.ledger.read(["sequence"])["sequence"].to_pylist())
    purged = {
        "sequence": last + 1,
        "event": PURGED,
        "subject": None,
        "item_id": None,
        "contents": [],
        "places": [],
        "reason": f"{len(rows)} erased",
        "at": now(),
    }
    settled = [row | {"item_id": None} for row in rows]
    numbers = ", ".join(str(row["sequence"]) for row in (*rows, purged))
    store.ledger.replace(f"sequence IN ({numbers})", [*settled, purged])

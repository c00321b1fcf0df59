"""What is known of items by now, read from the facts and not from a release."""

import datetime as dt
import json
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipelines.outcomes import now
from pipelines.search.asked.filters import COLUMNS, compile_filter, fields_of
from pipelines.search.engines.lance import condition, matching
from pipelines.search.engines.protocol import Allowed
from pipelines.store import Store
from pipelines.tables.facts import equals_any, narrowed, quoted
from pipelines.tables.schemas import ATTRIBUTE_KEYS, TEXT_KEYS

FACETS = ("kind", "region", "domain", "product_family", "tags")
_MOST_VALUES = 20  # of a facet

_DESCRIBED = [
    "item_id",
    "kind",
    "media_type",
    "size",
    "width",
    "height",
    "duration_s",
    "modalities",
    "tags",
]


def is_shown(store: Store, item_id: str, allowed: Allowed) -> bool:
    """Tell whether an item is there and may be seen."""
    return bool(_rows(store, ["item_id"], item_id, allowed))


def shown(store: Store, item_ids: Collection[str], allowed: Allowed) -> set[str]:
    """Return those of some items that are there and may be seen."""
    found = store.items.read(["item_id"], _shown(item_ids, allowed))
    return set(item_ids).intersection(found["item_id"].to_pylist())


def describe(store: Store, item_id: str, allowed: Allowed) -> dict[str, Any] | None:
    """Return attributes, origins and segments of an item; `None` where it is not seen."""
    columns = [
        *_DESCRIBED,
        "content_hash",
        *TEXT_KEYS,
        *ATTRIBUTE_KEYS,
        "extra",
        "origins",
        "registered_at",
    ]
    rows = _rows(store, [*columns, "updated_at"], item_id, allowed)
    if not rows:
        return None
    item = rows[0]
    places = ["segment", "kind", "page", "start_s", "end_s", "width", "height", "recipe"]
    segments = store.segments.rows(
        [*places, "derivative", "thumbnail"], f"item_id = {quoted(item_id)}"
    )
    origins = [
        {name: origin[name] for name in ("uri", "source", "file_name")}
        for origin in item["origins"] or ()
    ]
    named = (*_DESCRIBED[1:], *TEXT_KEYS, *ATTRIBUTE_KEYS)
    attributes = {name: item[name] for name in named if item[name] not in (None, [])}
    return {
        "item_id": item_id,
        "uri": origins[0]["uri"] if origins else None,
        "title": item["title"],
        "kind": item["kind"],
        "attributes": attributes | json.loads(item["extra"] or "{}"),
        "origins": origins,
        "content_hash": item["content_hash"],
        "registered_at": item["registered_at"].isoformat(),
        "updated_at": item["updated_at"].isoformat(),
        "segments": sorted(
            (
                {name: row[name] for name in places}
                | {"derivative": bool(row["derivative"]), "thumbnail": bool(row["thumbnail"])}
                for row in segments
            ),
            key=lambda row: (row["kind"], row["page"] or 0, row["start_s"] or 0.0, row["segment"]),
        ),
    }


def facets(store: Store, item_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Count the values that some items have of each of `FACETS`, the most frequent first."""
    rows = store.items.rows(FACETS, equals_any("item_id", item_ids)) if item_ids else []
    counted: dict[str, dict[str, int]] = {}
    for name in FACETS:
        counts: dict[str, int] = {}
        for row in rows:
            value = row[name]
            for each in value if isinstance(value, list) else [value]:
                if each is not None:
                    counts[each] = counts.get(each, 0) + 1
        best = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_VALUES]
        if best:
            counted[name] = dict(best)
    return counted


def ages(
    store: Store, item_ids: Collection[str], at: dt.datetime | None = None
) -> dict[str, float]:
    """Return the age of items in days, since they were published or else registered."""
    moment, days = at or now(), {}
    columns = ["item_id", "published_at", "registered_at"]
    for row in store.items.rows(columns, narrowed("item_id", item_ids)):
        born = _date(row["published_at"]) or row["registered_at"]
        if born is not None:
            days[row["item_id"]] = (moment - born).total_seconds() / 86400
    return days


def _date(value: str | None) -> dt.datetime | None:
    try:
        date = dt.datetime.fromisoformat(value or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)


class LiveValues:
    """Metadata that must be true at the moment of asking, such as a price.

    Read from the newest facts, so that a change holds for the next query without any index.
    """

    def __init__(self, store: Store, keys: Sequence[str]):
        self._store = store
        self._keys = keys
        self._seen: int | None = None
        self._values: Mapping[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def is_current(self) -> bool:
        """Tell whether the values surely are those of now; takes microseconds."""
        return not self._keys or self._store.items.stands_at(self._seen)

    def of(self, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the live values of those of some items that have any."""
        if not self._keys or not item_ids:
            return {}
        with self._lock:
            version = self._store.items.version
            if version != self._seen:
                self._values, self._seen = self._read(), version
            values = self._values
        return {item_id: values[item_id] for item_id in item_ids if item_id in values}

    def are_named_in(self, where: str) -> bool:
        """Tell whether a filter asks of live values; all else that it asks of is of the release."""
        return not fields_of(where).isdisjoint(self._keys)

    def passing(self, item_ids: Sequence[str], where: str, allowed: Allowed) -> set[str]:
        """Return those of some items that a filter lets pass now."""
        named = fields_of(where).intersection(COLUMNS) - {"item_id"}
        columns = ["item_id", "extra", *sorted(named)]
        facts = self._store.items.read(columns, _shown(item_ids, allowed))
        return matching(facts, compile_filter(where)).intersection(item_ids)

    def _read(self) -> dict[str, dict[str, Any]]:
        written = [quoted(f'%"{key}"%') for key in self._keys]
        mentioned = " OR ".join(f"extra LIKE {each}" for each in written)
        values = {}
        for row in self._store.items.rows(["item_id", "extra"], f"NOT deleted AND ({mentioned})"):
            extra = json.loads(row["extra"])
            if live := {key: extra[key] for key in self._keys if key in extra}:
                values[row["item_id"]] = live
        return values


def _shown(item_ids: Collection[str], allowed: Allowed) -> str:
    return f"{narrowed('item_id', item_ids)} AND NOT deleted AND {condition(allowed) or 'true'}"


def _rows(
    store: Store, columns: Sequence[str], item_id: str, allowed: Allowed
) -> list[dict[str, Any]]:
    if item_id in allowed.hidden:
        return []
    shown = condition(Allowed(allowed.where)) or "true"
    return store.items.rows(columns, f"item_id = {quoted(item_id)} AND NOT deleted AND {shown}")

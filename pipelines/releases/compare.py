"""What differs between two releases: items, rows by recipe, channels, models, metrics."""

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.releases import log
from pipelines.releases.candidate import at_version
from pipelines.releases.manifest import Manifest, Verdict
from pipelines.store import Store

_COLUMNS = ["key", "item_id", "recipe"]
_EMPTY = pa.schema([(name, pa.string()) for name in _COLUMNS]).empty_table()
PASSAGES = "passages"


class Place(NamedTuple):
    """Where a release keeps one channel."""

    table: str
    version: int


def compare(store: Store, before: str, after: str, ids: int = 20) -> dict[str, Any]:
    """Return what `after` has other than `before`, as a JSON document.

    Items are those that can be found; `ids` of the added and removed ones are listed. A row that
    is in both has changed if its recipe has. Columns are compared in Arrow, one channel at a time.
    Raises MediadexError for a release that is unknown or whose tables were cleaned.
    """
    past = log.read(store)
    old, new = past.manifest(before), past.manifest(after)
    places, new_places = _places(old), _places(new)
    rows, found, found_new = {}, [], []
    for name in dict.fromkeys([*places, *new_places]):
        here, there = places.get(name), new_places.get(name)
        first = _read(store, here)
        second = first if here == there else _read(store, there)
        rows[name] = _rows(first, second)
        found.append(first["item_id"].unique())
        found_new.append(second["item_id"].unique())
    had, has = _union(found), _union(found_new)
    return {
        "before": before,
        "after": after,
        "items": {"added": _listed(has, had, ids), "removed": _listed(had, has, ids)},
        "rows": rows,
        "channels": {
            "added": sorted(new.channels.keys() - old.channels.keys()),
            "removed": sorted(old.channels.keys() - new.channels.keys()),
        },
        "models": {
            name: {"before": old.channels[name].identity, "after": new.channels[name].identity}
            for name in sorted(old.channels.keys() & new.channels.keys())
            if old.channels[name].identity != new.channels[name].identity
        },
        "metrics": _metrics(past.verdicts[before], past.verdicts[after]),
    }


def _places(manifest: Manifest) -> dict[str, Place]:
    places = {name: Place(each.table, each.version) for name, each in manifest.channels.items()}
    if manifest.passages:
        places[PASSAGES] = Place(manifest.passages.table, manifest.passages.version)
    return places


def _read(store: Store, place: Place | None) -> pa.Table:
    if place is None:
        return _EMPTY
    return at_version(store, *place).search().select(_COLUMNS).to_arrow()


def _rows(before: pa.Table, after: pa.Table) -> dict[str, int]:
    """Count the rows, by key, that are new, gone, made anew by another recipe, or as they were."""
    if before is after:
        return {"added": 0, "removed": 0, "changed": 0, "same": len(after)}
    places = pc.index_in(after["key"], value_set=before["key"].combine_chunks())
    shared = after["recipe"].filter(pc.is_valid(places))
    recipes = before["recipe"].take(pc.drop_null(places))
    changed = pc.sum(pc.not_equal(shared, recipes)).as_py() or 0
    return {
        "added": len(after) - len(shared),
        "removed": len(before) - len(shared),
        "changed": changed,
        "same": len(shared) - changed,
    }


def _union(found: list[pa.Array]) -> pa.Array:
    return pa.chunked_array(found, pa.string()).unique()


def _listed(ids: pa.Array, without: pa.Array, most: int) -> dict[str, Any]:
    """Count the ids that are not among others, and list the first of them in order."""
    left = ids.filter(pc.invert(pc.is_in(ids, value_set=without)))
    first = left.take(pc.select_k_unstable(left, most, [("", "ascending")])) if len(left) else left
    return {"count": len(left), "ids": first.to_pylist()}


def _metrics(before: Verdict, after: Verdict) -> dict[str, dict[str, float]]:
    """Return the fused metrics that were measured for both, side by side."""
    old, new = before.metrics.get("fused", {}), after.metrics.get("fused", {})
    return {name: {"before": old[name], "after": new[name]} for name in new if name in old}

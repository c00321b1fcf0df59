"""The filterable attributes of items, as every searched row carries them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.recipes import digest_json
from pipelines.store import Store
from pipelines.tables.facts import quoted
from pipelines.tables.schemas import ATTRIBUTES

_COPIED = [name for name in ATTRIBUTES.names if name not in {"uri", "extra"}]


@dataclass(frozen=True)
class Attributes:
    """Attributes of one live item, and the hash by which a copy of them is known to be current."""

    values: Mapping[str, Any]
    key: str


def live(batch: str | None) -> str:
    """Return the SQL predicate of the items that exist, in one batch or in all."""
    return "deleted = false" + (f" AND batch = {quoted(batch)}" if batch else "")


def read_attributes(store: Store, where: str) -> dict[str, Attributes]:
    """Read the attributes of the live items that match an SQL condition, by item id."""
    rows = store.items.rows([*_COPIED, "origins", "extra"], f"{live(None)} AND ({where})")
    return {row["item_id"]: attributes_of(row) for row in rows}


def attributes_of(item: Mapping[str, Any]) -> Attributes:
    """Return the attributes of a live row of the table of items; its columns may be absent."""
    # Nested values cannot be compared in a filter; their JSON text can.
    extra = json.loads(item.get("extra") or "{}")
    flat = {
        key: value if isinstance(value, str | int | float) else json.dumps(value)
        for key, value in extra.items()
    }
    values = {name: item.get(name) for name in _COPIED} | {
        "uri": item["origins"][0]["uri"],
        "extra": json.dumps(flat, sort_keys=True, ensure_ascii=False) if flat else None,
    }
    return Attributes(values, digest_json(values))

"""The filterable attributes of items, as every searched row carries them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.recipes import digest_json
from pipelines.store import Store
from pipelines.tables.facts import quoted
from pipelines.tables.schemas import ATTRIBUTES


@dataclass(frozen=True)
class Attributes:
    """Attributes of one live item, and the hash by which a copy of them is known to be current."""

    values: Mapping[str, Any]
    key: str


def live(batch: str | None) -> str:
    """Return the SQL predicate of the items that exist, in one batch or in all."""
    return "deleted = false" + (f" AND batch = {quoted(batch)}" if batch else "")


def read_attributes(store: Store, batch: str | None) -> dict[str, Attributes]:
    """Read the attributes of all live items, by item id."""
    columns = [name for name in ATTRIBUTES.names if name not in {"uri", "extra"}]
    rows = store.items.rows([*columns, "origins", "extra"], live(batch))
    return {row["item_id"]: _attributes(row) for row in rows}


def _attributes(row: dict[str, Any]) -> Attributes:
    origins = row.pop("origins")
    values = row | {"uri": origins[0]["uri"]}
    # Nested values cannot be compared in a filter; their JSON text can.
    extra = json.loads(values["extra"] or "{}")
    flat = {
        key: value if isinstance(value, str | int | float) else json.dumps(value)
        for key, value in extra.items()
    }
    values["extra"] = json.dumps(flat, sort_keys=True, ensure_ascii=False) if flat else None
    return Attributes(values, digest_json(values))

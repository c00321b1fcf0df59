"""Attributes of items, and the hash by which copies of them are known to be current."""

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.attributes import attributes_of, read_attributes
from pipelines.catalog import metadata
from pipelines.catalog.items import Catalog
from pipelines.tables.schemas import ATTRIBUTE_KEYS, ATTRIBUTES

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {
        "origins": st.lists(st.fixed_dictionaries({"uri": TEXTS}), min_size=1, max_size=2),
        "tags": st.none() | st.lists(TEXTS, max_size=2),
        "extra": st.none()
        | st.dictionaries(TEXTS, JSON, max_size=3).map(lambda said: json.dumps(said)),
        "width": st.none() | st.integers(1, 2**31 - 1),
        "size": st.none() | st.integers(0, 2**62),
    },
    optional={name: st.none() | TEXTS for name in ("title", "kind", *ATTRIBUTE_KEYS)},
)
# What a metadata file can hold: empty values were left out when it was parsed.
SAID = st.fixed_dictionaries(
    {},
    optional={
        "title": JSON.filter(lambda value: value is not None),
        "tags": st.lists(TEXTS, min_size=1, max_size=3) | TEXTS,
        "published_at": st.dates().map(str) | TEXTS,
        "price": st.floats() | st.integers(),
        "nested": JSON,
    },
)
FEW = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(st.lists(ROWS, min_size=1, max_size=30))
def test_a_row_read_back_has_the_hash_it_had(
    new_home: Callable[[], Any], rows: list[dict[str, Any]]
) -> None:
    store = new_home().store
    items = [{**row, "item_id": f"i{number}", "deleted": False} for number, row in enumerate(rows)]
    before = copy.deepcopy(items)
    made = {item["item_id"]: attributes_of(item) for item in items}
    assert items == before
    store.items.append(
        [item | {"attributes_hash": made[item["item_id"]].key} for item in items],
    )
    again = read_attributes(store, "true")
    assert again == made
    assert {row["item_id"]: row["attributes_hash"] for row in store.items.rows()} == {
        item_id: attributes.key for item_id, attributes in again.items()
    }


@FEW
@given(st.lists(SAID, min_size=1, max_size=20))
def test_the_catalog_stores_the_hash_of_what_it_writes(
    new_home: Callable[[], Any], said: list[dict[str, Any]]
) -> None:
    store = new_home().store
    catalog = Catalog(store, "s", 100)
    for number, described in enumerate(said):
        uri = f"s/{number}"
        origin = {"uri": uri, "source": "s", "fingerprint": "", "metadata_hash": "m"}
        content = {"content_hash": f"{number:032}", "kind": "text", "media_type": "text/plain"}
        catalog.register(origin, content | {"size": number, "width": None}, described, [])
    catalog.flush()
    stored = {row["item_id"]: row["attributes_hash"] for row in store.items.rows()}
    assert stored == {key: found.key for key, found in read_attributes(store, "true").items()}
    assert len(stored) == len(said)


def test_only_live_items_that_match_are_read(home: Any) -> None:
    rows = [
        {"item_id": name, "batch": batch, "deleted": deleted, "origins": [{"uri": name}]}
        for name, batch, deleted in [("a", "1", False), ("b", "2", False), ("c", "1", True)]
    ]
    home.store.items.append(rows)
    assert read_attributes(home.store, "batch = '1' OR item_id = 'c'").keys() == {"a"}
    assert read_attributes(home.store, "batch = '3'") == {}


def test_every_attribute_but_no_other_column_changes_the_hash() -> None:
    item = {
        "item_id": "i",
        "origins": [{"uri": "u"}],
        **metadata.columns({"title": "T", "tags": ["a"], "price": 3}),
    }
    key = attributes_of(item).key
    for name in set(ATTRIBUTES.names) - {"uri", "extra", "tags"}:
        assert attributes_of(item | {name: "other"}).key != key
    assert attributes_of(item | {"extra": '{"price": 4}'}).key != key
    assert attributes_of(item | {"tags": ["b"]}).key != key
    assert attributes_of(item | {"origins": [{"uri": "v"}]}).key != key
    other = {"description": "D", "batch": "b", "updated_at": "now", "attributes_hash": "x"}
    assert attributes_of(item | other).key == key
    assert attributes_of(item).values["extra"] == '{"price": 3}'


def test_nested_values_are_text_that_can_be_compared() -> None:
    extra = json.dumps({"size": {"w": 3}, "colours": ["red"], "on": True, "price": 2.5})
    values = attributes_of({"origins": [{"uri": "u"}], "extra": extra}).values
    assert json.loads(values["extra"]) == {
        "size": '{"w": 3}',
        "colours": '["red"]',
        "on": True,
        "price": 2.5,
    }

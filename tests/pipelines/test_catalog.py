"""Ids, batches and origins, without any files: the catalog alone."""

from collections.abc import Mapping
from typing import Any

import pytest

from pipelines import outcomes
from pipelines.catalog.items import Catalog, IdTaken
from pipelines.catalog.saying import Said
from pipelines.tables.facts import FactTable


class Shelf:
    """A catalog with short words for what a scan tells it."""

    def __init__(self, home: Any, batch_items: int = 3):
        self.store = home.store
        self.batch_items = batch_items
        self.said: dict[str, Said] = {}
        self.catalog = Catalog(self.store, "s", batch_items, self.asked)

    def asked(self, origin: Mapping[str, Any]) -> Said | None:
        return self.said.get(origin["uri"])

    def scan(self) -> dict[str, str]:
        """End a run, tell what it changed, and begin the next."""
        self.catalog.flush()
        changes = self.catalog.changes()
        self.catalog = Catalog(self.store, "s", self.batch_items, self.asked)
        return changes

    def put(self, uri: str, content: str, described: dict[str, Any] | None = None) -> None:
        content = content * 32
        self.catalog.register(
            {
                "uri": uri,
                "source": "s",
                "file_name": uri,
                "fingerprint": content,
                "metadata_hash": str(described or ""),
            },
            {"content_hash": content, "kind": "text", "size": 1},
            {} if described is None else described,
            [],
        )
        self.said[uri] = Said(described or {}, [])

    def where(self) -> dict[str, list[str]]:
        """Uris of each live item."""
        self.catalog.flush()
        rows = self.store.items.rows(where="deleted = false")
        return {row["item_id"]: [origin["uri"] for origin in row["origins"]] for row in rows}

    def item_at(self, uri: str) -> dict[str, Any]:
        self.catalog.flush()
        rows = self.store.items.rows(where="deleted = false")
        [row] = [row for row in rows if uri in [origin["uri"] for origin in row["origins"]]]
        return row


@pytest.fixture
def shelf(home: Any) -> Shelf:
    return Shelf(home)


def test_batches_are_bounded_and_filled_in_order_of_arrival(shelf: Shelf) -> None:
    for number in range(7):
        shelf.put(f"u{number}", str(number))
    shelf.scan()
    shelf.put("u7", "7")
    today = outcomes.now().date().isoformat()
    batches = [shelf.item_at(f"u{number}")["batch"] for number in range(8)]
    assert batches == [f"{today}.{n:03d}" for n in (0, 0, 0, 1, 1, 1, 2, 2)]


def test_a_deleted_item_still_takes_its_place_in_its_batch(shelf: Shelf) -> None:
    for number in range(3):
        shelf.put(f"u{number}", str(number))
    shelf.catalog.forget("u1")
    shelf.scan()
    shelf.put("u3", "3")
    assert shelf.item_at("u3")["batch"].endswith(".001")


def test_batches_go_on_after_the_thousandth_of_a_day(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(home, batch_items=1)
    today = outcomes.now().date().isoformat()
    shelf.catalog._size |= {f"{today}.999": 1, f"{today}.1000": 1}
    shelf.put("u", "a")
    assert shelf.item_at("u")["batch"] == f"{today}.1001"


def test_equal_bytes_from_two_places_are_one_item(shelf: Shelf) -> None:
    shelf.put("u1", "a")
    shelf.put("u2", "a")
    [uris] = shelf.where().values()
    assert uris == ["u1", "u2"]
    assert list(shelf.scan().values()) == ["new"]


def test_one_of_two_copies_changing_becomes_an_item_of_its_own(shelf: Shelf) -> None:
    shelf.put("u1", "a")
    shelf.put("u2", "a")
    before = shelf.item_at("u1")["item_id"]
    shelf.scan()
    shelf.put("u1", "b")
    assert shelf.item_at("u2")["item_id"] == before != shelf.item_at("u1")["item_id"]
    assert sorted(shelf.scan().values()) == ["changed", "new"]


def test_an_item_keeps_its_id_when_its_old_bytes_appear_elsewhere(shelf: Shelf) -> None:
    shelf.put("u1", "a")
    before = shelf.item_at("u1")
    shelf.scan()
    shelf.put("u1", "b")
    shelf.put("u2", "a")
    after, other = shelf.item_at("u1"), shelf.item_at("u2")
    assert (after["item_id"], after["content_hash"]) == (before["item_id"], "b" * 32)
    assert other["item_id"] != before["item_id"] and other["content_hash"] == "a" * 32


def test_two_files_that_swap_their_bytes_keep_their_ids(shelf: Shelf) -> None:
    shelf.put("u1", "a")
    shelf.put("u2", "b")
    before = shelf.where()
    shelf.scan()
    shelf.put("u1", "b")
    shelf.put("u2", "a")
    assert shelf.where() == before
    assert shelf.item_at("u1")["content_hash"] == "b" * 32
    assert list(shelf.scan().values()) == ["changed", "changed"]


def test_bytes_that_come_back_find_the_live_item_before_a_deleted_one(shelf: Shelf) -> None:
    shelf.put("u1", "a")
    shelf.put("u2", "b")
    live = shelf.item_at("u2")["item_id"]
    shelf.scan()
    shelf.catalog.forget("u1")
    shelf.put("u2", "a")
    shelf.scan()
    shelf.put("u3", "a")
    assert shelf.where() == {live: ["u2", "u3"]}


def test_deleted_and_back_again_is_the_same_item(shelf: Shelf) -> None:
    shelf.put("u1", "a", {"title": "A"})
    before = shelf.item_at("u1")
    assert list(shelf.scan().values()) == ["new"]
    shelf.catalog.forget("u1")
    assert shelf.where() == {}
    assert list(shelf.scan().values()) == ["deleted"]
    shelf.put("u9", "a")
    after = shelf.item_at("u9")
    assert (after["item_id"], after["batch"]) == (before["item_id"], before["batch"])
    assert after["title"] is None
    assert list(shelf.scan().values()) == ["new"]


def test_forgotten_and_found_in_one_scan_is_no_deletion(shelf: Shelf) -> None:
    shelf.put("u1", "a")
    shelf.scan()
    shelf.catalog.forget("u1")
    shelf.put("u2", "a")
    assert list(shelf.scan().values()) == ["changed"]


def test_only_what_a_group_of_files_touches_is_read(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        shelf.put(f"u{number}", str(number), {"item_id": f"i{number}"})
    shelf.scan()
    read: list[list[str]] = []
    rows = FactTable.rows

    def noting(table: FactTable, *how: Any, **where: Any) -> list[dict[str, Any]]:
        found = rows(table, *how, **where)
        read.append(sorted(row["item_id"] for row in found))
        return found

    monkeypatch.setattr(FactTable, "rows", noting)
    shelf.catalog.expect([("u1", "2" * 32, None), ("new", "x" * 32, "i3"), ("u4", None, None)])
    shelf.put("u1", "2", {"item_id": "i1"})
    with pytest.raises(IdTaken):
        shelf.put("new", "x", {"item_id": "i3"})
    shelf.catalog.forget("u4")
    assert read == [["i1", "i2", "i3", "i4"]]


def test_bytes_that_several_live_items_have_belong_to_the_first_by_id(shelf: Shelf) -> None:
    for name in "yxz":
        shelf.put(f"u-{name}", "a", {"item_id": name})
    shelf.put("u", "a")
    assert "u" in shelf.where()["x"]
    shelf.scan()
    shelf.put("v", "a")
    assert shelf.where()["x"] == ["u", "u-x", "v"]


# --- Claimed ids ---------------------------------------------------------------------------------


def test_a_claimed_id_is_kept_whatever_happens_to_the_bytes(shelf: Shelf) -> None:
    shelf.put("u1", "a", {"item_id": "sku/7 'x'"})
    shelf.scan()
    shelf.put("u1", "b", {"item_id": "sku/7 'x'"})
    assert shelf.where() == {"sku/7 'x'": ["u1"]}


def test_an_id_that_other_bytes_have_is_refused(shelf: Shelf) -> None:
    shelf.put("u1", "a", {"item_id": "x"})
    shelf.put("u2", "b")
    before = shelf.where()
    with pytest.raises(IdTaken, match="already used by other bytes at u1"):
        shelf.put("u2", "b", {"item_id": "x"})
    with pytest.raises(IdTaken):
        shelf.put("u3", "c", {"item_id": "x"})
    assert shelf.where() == before


def test_copies_that_claim_the_same_id_are_one_item(shelf: Shelf) -> None:
    shelf.put("u1", "a", {"item_id": 7})
    shelf.put("u2", "a", {"item_id": "7"})
    assert shelf.where() == {"7": ["u1", "u2"]}


def test_a_file_that_claims_another_id_moves_there(shelf: Shelf) -> None:
    shelf.put("u1", "a")
    old = shelf.item_at("u1")["item_id"]
    shelf.scan()
    shelf.put("u1", "a", {"item_id": "x"})
    assert shelf.where() == {"x": ["u1"]}
    assert shelf.scan() == {old: "deleted", "x": "new"}


# --- What is said of an item ---------------------------------------------------------------------


def test_a_copy_that_says_nothing_takes_nothing(shelf: Shelf) -> None:
    shelf.put("u1", "a", {"title": "A"})
    shelf.put("u2", "a")
    assert shelf.item_at("u2")["title"] == "A"


def test_what_is_no_longer_said_is_taken_back_though_there_is_a_copy(shelf: Shelf) -> None:
    shelf.put("u1", "a", {"title": "A"})
    shelf.put("u2", "a")
    shelf.scan()
    shelf.put("u1", "a", {})
    assert shelf.item_at("u1")["title"] is None


def test_a_file_that_moves_before_its_metadata_does_keeps_it(shelf: Shelf) -> None:
    shelf.put("u1", "a", {"title": "A"})
    shelf.scan()
    shelf.put("u2", "a")
    shelf.catalog.forget("u1")
    assert shelf.item_at("u2")["title"] == "A"


def test_the_text_of_an_item_follows_what_is_said(shelf: Shelf) -> None:
    texts = shelf.store.texts
    shelf.put("u1", "a", {"title": "A"})
    shelf.scan()
    assert texts.read().column("text").to_pylist() == ["A."]
    shelf.put("u1", "a", {"title": "B"})
    shelf.scan()
    assert texts.read().column("text").to_pylist() == ["B."]
    shelf.catalog.forget("u1")
    shelf.scan()
    assert texts.read().num_rows == 0

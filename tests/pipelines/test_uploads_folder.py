"""Uploads as files: safe names, whole folders, whose id it is, and what scans make of them."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.catalog.uploads import IdInUse, Upload, Uploads, folder_of, governed_by
from pipelines.errors import BadInput
from pipelines.ledger import erase
from pipelines.rights import Caller
from pipelines.steps.ingest import all_sources, known_sources

ANA = Caller(user="ana", region="eu", groups=frozenset({"press", "hr"}))
BOB = Caller(user="bob", region="us")


class Desk:
    """Where uploads come in and scans run."""

    def __init__(self, home: Any):
        self.home = home
        self.folder = folder_of(home.settings)
        self.uploads = Uploads(home.store, home.settings)

    def add(
        self, text: bytes = b"A letter.", name: str = "a.txt", who: Caller | None = ANA, **said: Any
    ) -> Upload:
        return self.uploads.add(io.BytesIO(text), name, said, who)

    def scan(self) -> None:
        self.home.ingest(str(self.folder))

    def item(self, upload: Upload) -> dict[str, Any]:
        [row] = self.home.store.items.rows(where=f"item_id = '{upload.item_id}' AND NOT deleted")
        return row

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def desk(home: Any) -> Desk:
    return Desk(home)


def test_an_upload_becomes_an_item_of_its_owner(desk: Desk) -> None:
    upload = desk.add(title="A letter", access=["press"], tags=["x"])
    assert not desk.uploads.is_registered(upload)
    desk.scan()
    item = desk.item(upload)
    assert desk.uploads.is_registered(upload) and desk.uploads.refusal(upload) is None
    said = [item[name] for name in ("title", "owner", "region", "access", "tags")]
    assert said == ["A letter", "ana", "eu", ["press"], ["x"]]
    assert desk.files() == [".lock", ".upload.json", "media.txt", "metadata.jsonl"]
    desk.scan()
    assert desk.home.store.items.rows() == [item]


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd.txt", "metadata.jsonl", "a/b\\c.md", "\x00.txt", ".hidden", "", "x" * 999],
)
def test_no_name_leads_out_of_its_folder_or_is_taken_for_metadata(desk: Desk, name: str) -> None:
    try:
        upload = desk.add(name=name)
    except BadInput:
        # Plain text is told by its name.
        assert desk.files() == []
        return
    assert Path(upload.file_name).stem == "media" and "/" not in upload.file_name
    assert desk.files().count(upload.file_name) == 1
    assert {path.parent for path in desk.home.path.rglob("media*")} <= set(desk.folder.iterdir())


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (b"", "a.txt", "empty"),
        (b"\x00\x01\x02" * 99, "a", "known signature"),
        (b"x", "a.png", "holds plain text"),
    ],
)
def test_what_is_no_media_is_refused_at_once(
    desk: Desk, data: bytes, name: str, reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        desk.add(data, name)
    assert desk.files() == []


def test_nobody_uploads_for_others() -> None:
    assert governed_by(ANA, {})["region"] == "eu"
    assert governed_by(ANA, {"region": " EU "})["owner"] == "ana"
    assert governed_by(Caller(user="z"), {})["region"] == "global"
    for said in ({"region": "us"}, {"region": "global"}):
        with pytest.raises(BadInput, match="region is not yours"):
            governed_by(ANA, said)
    for access in (["press", "sales"], "press, sales", ["no\none"]):
        with pytest.raises(BadInput, match="group that you are not in"):
            governed_by(ANA, {"access": access})
    with pytest.raises(BadInput, match="region is not yours"):
        governed_by(Caller(user="z"), {"region": "eu"})
    assert governed_by(ANA, {"owner": "bob"})["owner"] == "ana"
    assert governed_by(None, {"region": "us", "access": ["any"]}) == {
        "region": "us",
        "access": ["any"],
    }


def test_an_id_belongs_to_who_took_it_first(desk: Desk) -> None:
    desk.home.write("other.txt", "Another.")
    row = {"file_name": "other.txt", "item_id": "taken", "owner": "ana"}
    desk.home.write("metadata.jsonl", json.dumps(row))
    desk.home.ingest()
    with pytest.raises(IdInUse):
        desk.add(item_id="taken")
    upload = desk.add(item_id="mine")
    for who in (BOB, None):
        with pytest.raises(IdInUse, match="choose another"):
            desk.add(who=who, item_id="mine")
        assert desk.uploads.get("mine", BOB) is None
    assert desk.uploads.get("mine", ANA) == desk.uploads.get("mine", None) == upload


def test_the_same_again_is_the_same_and_something_else_replaces_it(desk: Desk) -> None:
    first = desk.add(item_id="mine", access=["press"])
    desk.scan()
    assert desk.add(item_id="mine", access=["press"]) == first
    with pytest.raises(BadInput, match=r"named with \.txt"):
        desk.add(b"Another letter.", "b.md", item_id="mine")
    second = desk.add(b"Another letter.", "b.TXT", item_id="mine", access=["hr"])
    assert not desk.uploads.is_registered(second)
    desk.scan()
    assert desk.uploads.is_registered(second) and not desk.uploads.is_registered(first)
    assert desk.item(second)["access"] == ["hr"]
    assert desk.files() == [".lock", ".upload.json", "media.txt", "metadata.jsonl"]


def test_two_users_with_the_same_bytes_have_an_item_each(desk: Desk) -> None:
    """Nobody can close an item of others by uploading a copy of it."""
    desk.home.write("paper.txt", "A letter.")
    desk.home.ingest()
    ana, bob = desk.add(access=["hr"]), desk.add(who=BOB)
    desk.scan()
    assert ana.item_id != bob.item_id
    rows = {row["item_id"]: row for row in desk.home.store.items.rows()}
    assert len(rows) == 3 and len({row["content_hash"] for row in rows.values()}) == 1
    assert (rows[ana.item_id]["access"], rows[ana.item_id]["region"]) == (["hr"], "eu")
    assert (rows[bob.item_id]["access"], rows[bob.item_id]["region"]) == (None, "us")


def test_many_at_once_never_share_an_id_or_leave_half_a_folder(desk: Desk) -> None:
    callers = [Caller(user=f"u{number}") for number in range(8)]

    def one(caller: Caller) -> str | None:
        try:
            uploads = Uploads(desk.home.store, desk.home.settings)
            return uploads.add(io.BytesIO(b"Mine."), "a.txt", {"item_id": "x"}, caller).owner
        except IdInUse:
            return None

    with ThreadPoolExecutor(8) as pool:
        [owner] = [found for found in pool.map(one, callers) if found]
    assert desk.files() == [".lock", ".upload.json", "media.txt", "metadata.jsonl"]
    desk.scan()
    [item] = desk.home.store.items.rows()
    assert (item["item_id"], item["owner"]) == ("x", owner)


def test_what_a_scan_refuses_is_told_to_who_uploaded_it(desk: Desk) -> None:
    named = desk.add(item_id="ana@example.org")
    late = desk.add(consent_expires="soon")
    desk.scan()
    assert not desk.home.store.items.rows()
    assert "holds personal data" in (desk.uploads.refusal(named) or "")
    assert "no ISO 8601 date" in (desk.uploads.refusal(late) or "")
    again = desk.add(item_id="ana@example.org", title="B")
    assert desk.uploads.refusal(again) is None


def test_an_id_that_a_file_took_meanwhile_is_told_without_its_place(desk: Desk) -> None:
    upload = desk.add(item_id="x")
    desk.home.write("secret-place.txt", "Other bytes.")
    desk.home.write("metadata.jsonl", '{"file_name": "secret-place.txt", "item_id": "x"}')
    desk.home.ingest()
    desk.scan()
    assert not desk.uploads.is_registered(upload)
    assert desk.uploads.refusal(upload) == "this item_id is in use; choose another, or leave it out"


def test_what_was_erased_cannot_be_uploaded_again(desk: Desk) -> None:
    upload = desk.add()
    desk.scan()
    erase(desk.home.store, [upload.item_id], "asked for")
    again = desk.add(item_id="another")
    desk.scan()
    assert not desk.uploads.is_registered(again)
    assert "erased" in (desk.uploads.refusal(again) or "")


def test_the_folder_is_a_source_as_soon_as_it_is_there(desk: Desk) -> None:
    assert all_sources(desk.home.store, desk.home.settings) == []
    upload = desk.add()
    assert known_sources(desk.home.store) == []
    [url] = all_sources(desk.home.store, desk.home.settings)
    desk.home.ingest(url)
    assert desk.uploads.is_registered(upload)
    assert known_sources(desk.home.store) == [url]

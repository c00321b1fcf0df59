import datetime as dt
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_media import film, tone
from raw_files import picture
from waiting import PATIENCE_S

from pipelines.attributes import attributes_of
from pipelines.catalog.sources import Source
from pipelines.ledger import mark
from pipelines.recipes import digest
from pipelines.steps import ingest as ingest_module
from pipelines.steps.ingest import IngestReport, known_sources


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    return report.new, report.changed, report.deleted, report.unchanged


def describe(home: Any, *rows: dict[str, Any], folder: str = "") -> None:
    home.write(f"{folder}metadata.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))


def assert_nothing_is_written(home: Any) -> None:
    before = home.versions()
    report = home.ingest()
    assert (report.new, report.changed, report.deleted, report.batches) == (0, 0, 0, set())
    assert home.versions() == before


# --- What becomes of files -----------------------------------------------------------------------


def test_a_picture_becomes_an_item(home: Any) -> None:
    data = picture("red", (40, 30))
    home.write("shop/mug.txt", data)
    describe(home, {"file_name": "shop/mug.txt", "title": "A mug", "owner": "Design", "season": 3})
    assert counts(home.ingest()) == (1, 0, 0, 0)
    item = home.items()["shop/mug.txt"]
    assert (item["kind"], item["media_type"]) == ("image", "image/jpeg")
    assert (item["width"], item["height"], item["size"]) == (40, 30, len(data))
    assert item["content_hash"] == digest(data) and len(item["perceptual_hash"]) == 16
    assert (item["title"], item["owner"], item["extra"]) == ("A mug", "Design", '{"season": 3}')
    [origin] = item["origins"]
    assert (origin["uri"], origin["source"]) == (
        (home.raw / "shop/mug.txt").as_uri(),
        home.raw.as_uri(),
    )
    assert known_sources(home.store) == [home.raw.as_uri()]


def test_all_kinds_of_media_are_registered_and_other_files_are_skipped(home: Any) -> None:
    home.write("a", picture())
    home.write("b.md", "# Notes")
    home.write("c.wav", tone(0.1, codec="pcm_s16le"))
    home.write("d.zip", b"PK\x03\x04" + bytes(30))
    home.write("e.mp4", film(["red"], 0.5))
    home.write("f.wav", b"RIFF\x24\0\0\0WAVEfmt ")
    assert counts(home.ingest()) == (4, 0, 0, 0)
    assert {name: item["kind"] for name, item in home.items().items()} == {
        "a": "image",
        "b.md": "text",
        "c.wav": "audio",
        "e.mp4": "video",
    }
    assert home.outcomes()["f.wav"]["status"] == "quarantined"
    assert home.outcomes()["d.zip"]["status"] == "skipped"
    assert_nothing_is_written(home)


@pytest.mark.parametrize("by", ["path", "url"])
def test_a_path_and_its_url_are_the_same_source(home: Any, by: str) -> None:
    home.write("a.txt", "A")
    home.ingest(home.raw.as_uri() if by == "path" else None)
    assert counts(home.ingest(str(home.raw) if by == "path" else home.raw.as_uri())) == (0, 0, 0, 1)


def test_a_source_in_memory(home: Any) -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/ingest-test/a.txt", b"A")
    try:
        assert counts(home.ingest("memory://ingest-test")) == (1, 0, 0, 0)
        assert counts(home.ingest("memory://ingest-test")) == (0, 0, 0, 1)
        files.pipe("/ingest-test/a.txt", b"B")
        assert counts(home.ingest("memory://ingest-test")) == (0, 1, 0, 0)
        assert list(home.items()) == ["a.txt"]
    finally:
        files.rm("/ingest-test", recursive=True)


def test_a_source_that_is_gone_deletes_nothing(home: Any) -> None:
    home.write("a.txt", "A")
    home.ingest()
    shutil.rmtree(home.raw)
    with pytest.raises(FileNotFoundError):
        home.ingest()
    assert list(home.items()) == ["a.txt"]


def test_one_source_says_nothing_of_another(home: Any) -> None:
    home.write("one/a.txt", "A")
    home.write("two/b.txt", "B")
    home.ingest(str(home.raw / "one"))
    assert counts(home.ingest(str(home.raw / "two"))) == (1, 0, 0, 0)
    (home.raw / "one/a.txt").unlink()
    assert counts(home.ingest(str(home.raw / "two"))) == (0, 0, 0, 1)
    assert len(home.items()) == 2


def test_a_file_of_two_sources_is_one_item_and_belongs_to_the_first(home: Any) -> None:
    file = home.write("sub/a.txt", "A")
    home.ingest()
    assert counts(home.ingest(str(home.raw / "sub"))) == (0, 0, 0, 0)
    file.unlink()
    assert counts(home.ingest(str(home.raw / "sub"))) == (0, 0, 0, 0)
    assert known_sources(home.store) == [home.raw.as_uri()]
    home.write("sub/a.txt", "changed by now")
    assert counts(home.ingest(str(home.raw / "sub"))) == (0, 1, 0, 0)
    assert known_sources(home.store) == [(home.raw / "sub").as_uri()]
    assert list(home.items()) == ["a.txt"]


def test_a_source_beside_one_whose_name_begins_alike_is_another(home: Any) -> None:
    home.write("sub/a.txt", "A")
    home.write("subway/b.txt", "B")
    home.ingest(str(home.raw / "subway"))
    assert counts(home.ingest(str(home.raw / "sub"))) == (1, 0, 0, 0)
    assert len(home.items()) == 2


def test_refusals_of_one_source_outlive_a_scan_of_a_single_file_beside_them(home: Any) -> None:
    home.write("a.txt", "A")
    home.write("bad.jpg", b"")
    home.ingest()
    home.ingest(str(home.raw / "a.txt"))
    assert list(home.outcomes()) == ["bad.jpg"]


# --- Running again -------------------------------------------------------------------------------


def test_a_second_run_writes_nothing(home: Any) -> None:
    for number in range(3):
        home.write(f"{number}.txt", f"text {number}")
    home.write("copy.txt", "text 0")
    home.write("bad.jpg", "no picture")
    describe(home, {"file_name": "0.txt", "title": "Zero"}, {"file_name": "gone.txt"})
    assert counts(home.ingest()) == (3, 0, 0, 0)
    assert_nothing_is_written(home)
    assert counts(home.ingest()) == (0, 0, 0, 3)


def test_a_touched_file_is_unchanged_and_read_only_once_more(home: Any) -> None:
    file = home.write("a.txt", "A")
    home.ingest()
    os.utime(file, (1, 1))
    report = home.ingest()
    assert counts(report) == (0, 0, 0, 1) and report.batches == set()
    assert_nothing_is_written(home)


def test_another_title_changes_the_item_but_not_its_content(home: Any) -> None:
    home.write("a.txt", "A")
    describe(home, {"file_name": "a.txt", "title": "old"})
    home.ingest()
    before = home.items()["a.txt"]
    describe(home, {"file_name": "a.txt", "title": "new"})
    report = home.ingest()
    after = home.items()["a.txt"]
    assert counts(report) == (0, 1, 0, 0) and report.batches == {after["batch"]}
    differing = {key for key in before if before[key] != after[key]} - {"updated_at", "origins"}
    assert differing == {"title", "attributes_hash"}
    assert [row["text"] for row in home.store.texts.rows()] == ["new."]


def test_batches_hold_no_more_than_the_setting(home: Any) -> None:
    for number in range(5):
        home.write(f"{number}.txt", str(number))
    report = home.ingest(batch_items=2)
    batches = [home.items()[f"{number}.txt"]["batch"][-3:] for number in range(5)]
    assert batches == ["000", "000", "001", "001", "002"]
    assert len(report.batches) == 3


# --- Ids -----------------------------------------------------------------------------------------


def test_an_item_keeps_its_id_when_it_changes_moves_or_comes_back(home: Any) -> None:
    home.write("a.txt", "A")
    home.ingest()
    before = home.items()["a.txt"]

    def assert_same(name: str) -> None:
        after = home.items()[name]
        assert (after["item_id"], after["batch"]) == (before["item_id"], before["batch"])

    home.write("a.txt", "changed")
    assert counts(home.ingest()) == (0, 1, 0, 0)
    assert_same("a.txt")
    (home.raw / "a.txt").rename(home.raw / "moved.txt")
    assert counts(home.ingest()) == (0, 1, 0, 0)
    assert_same("moved.txt")
    (home.raw / "moved.txt").unlink()
    assert counts(home.ingest()) == (0, 0, 1, 0)
    assert home.items() == {} and home.store.items.rows()[0]["deleted"]
    home.write("back.txt", "changed")
    assert counts(home.ingest()) == (1, 0, 0, 0)
    assert_same("back.txt")


def test_a_chain_of_renames_keeps_ids_where_names_stay(home: Any) -> None:
    home.write("a.txt", "A")
    home.ingest()
    before = home.ids()["a.txt"]
    (home.raw / "a.txt").rename(home.raw / "a.old.txt")
    home.write("a.txt", "B")
    assert counts(home.ingest()) == (1, 1, 0, 0)
    assert home.ids()["a.txt"] == before
    assert home.items()["a.old.txt"]["content_hash"] == digest(b"A")


def test_equal_files_are_one_item_until_one_changes(home: Any) -> None:
    home.write("a.txt", "A")
    home.write("b.txt", "A")
    assert counts(home.ingest()) == (1, 0, 0, 0)
    assert len(home.items()["a.txt"]["origins"]) == 2
    home.write("a.txt", "changed")
    before = home.ids()["b.txt"]
    assert counts(home.ingest()) == (1, 1, 0, 0)
    assert home.ids()["b.txt"] == before != home.ids()["a.txt"]


def test_two_files_that_claim_one_id(home: Any) -> None:
    home.write("a.txt", "A")
    home.write("b.txt", "B")
    describe(
        home,
        {"file_name": "a.txt", "item_id": "mug"},
        {"file_name": "b.txt", "item_id": "mug"},
    )
    home.ingest()
    assert home.ids() == {"a.txt": "mug"}
    reason = home.outcomes()["b.txt"]["reason"]
    assert "already used by other bytes" in reason and "/a.txt" in reason
    assert_nothing_is_written(home)
    (home.raw / "a.txt").unlink()
    home.ingest()
    home.ingest()
    assert home.ids() == {"b.txt": "mug"}
    assert list(home.outcomes()) == ["a.txt"]  # metadata still names it


# --- What cannot be read -------------------------------------------------------------------------


def lock(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder unreadable; as root, permissions alone would not."""
    files = Source(str(folder)).files
    listing = type(files).ls

    def ls(self: Any, path: str, **how: Any) -> Any:
        if path == str(folder):
            raise PermissionError(13, "Permission denied", path)
        return listing(self, path, **how)

    monkeypatch.setattr(type(files), "ls", ls)


@pytest.mark.parametrize("locked", ["", "sub", "sub/deep"])
def test_nothing_is_deleted_below_an_unreadable_folder(
    home: Any, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    home.write("subway.txt", "beside")
    home.write("sub/deep/b.txt", "B")
    home.ingest()
    before = home.ids()
    with monkeypatch.context() as locking:
        lock(locking, home.raw / locked)
        report = home.ingest()
        assert counts(report) == (0, 0, 0, 2) and home.ids() == before
        [outcome] = report.refused
        assert (outcome["status"], outcome["reason"]) == (
            "failed",
            "the folder cannot be read: Permission denied",
        )
        assert outcome["uri"] == (home.raw / locked).as_uri()
        assert_nothing_is_written(home)
    home.ingest()
    assert home.outcomes() == {}
    shutil.rmtree(home.raw / "sub")
    assert counts(home.ingest()) == (0, 0, 1, 1)


def test_a_folder_beside_an_unreadable_one_is_not_taken_for_it(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write("sub/a.txt", "A")
    home.write("subway/b.txt", "B")
    home.ingest()
    (home.raw / "subway/b.txt").unlink()
    lock(monkeypatch, home.raw / "sub")
    assert counts(home.ingest()) == (0, 0, 1, 1)


@pytest.mark.parametrize("broken", [b"\xff\xfe\xff", b'{"file_name": "a.txt", "title": '])
def test_metadata_stays_while_its_file_cannot_be_read(home: Any, broken: bytes) -> None:
    home.write("a.txt", "A")
    describe(home, {"file_name": "a.txt", "title": "T", "usage_rights": "none"})
    home.ingest()
    home.write("metadata.jsonl", broken)
    assert counts(home.ingest()) == (0, 0, 0, 1)
    assert_nothing_is_written(home)
    home.write("a.txt", "changed")
    home.write("new.txt", "new")
    assert counts(home.ingest()) == (0, 1, 0, 0)
    assert home.items()["a.txt"]["usage_rights"] == "none"
    assert "new.txt" not in home.items(), "nobody knows who may see it"
    assert all("metadata" in outcome["reason"] for outcome in home.outcomes().values())
    assert len(home.outcomes()) == 2
    home.write("unsaid.txt", "of which nothing is said")
    home.ingest()
    describe(home, {"file_name": "new.txt", "title": "N"})
    assert counts(home.ingest()) == (2, 1, 0, 0)
    titles = {name: item["title"] for name, item in home.items().items()}
    assert titles == {"a.txt": None, "new.txt": "N", "unsaid.txt": None}
    assert home.outcomes() == {}


def test_private_metadata_is_masked_and_found(home: Any) -> None:
    home.write("a.txt", "A")
    describe(home, {"file_name": "a.txt", "title": "Ask jane@example.com", "desk": "123-45-6789"})
    home.ingest()
    assert home.items()["a.txt"]["title"] == "Ask <EMAIL_ADDRESS>"
    assert home.holds("jane@example.com") == home.holds("123-45-6789") == []
    findings = {(row["entity"], row["place"]) for row in home.store.findings.rows()}
    assert findings == {
        ("EMAIL_ADDRESS", '{"field": "title"}'),
        ("US_SSN", '{"field": "desk"}'),
    }
    (home.raw / "a.txt").unlink()
    home.ingest()
    assert home.store.findings.rows() == []


# --- What fails and is tried again ---------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make reading fail, as on a disk out of order; names of the files that were to be read."""
    tried: list[str] = []

    def failing(source: Any, file: Any, settings: Any) -> Any:
        tried.append(file.file_name)
        raise OSError(5, "a path of the machine")

    monkeypatch.setattr(ingest_module, "_read", failing)
    return tried


def test_a_failing_file_waits_for_its_next_try(home: Any, broken: list[str]) -> None:
    home.write("a.txt", "A")
    before = dt.datetime.now(dt.UTC)
    home.ingest(retry_delay_s=60.0)
    outcome = home.outcomes()["a.txt"]
    assert (outcome["status"], outcome["attempts"]) == ("failed", 1)
    assert 59 < (outcome["next_try"] - before).total_seconds() < 70
    assert_nothing_is_written(home)
    [refused] = home.ingest().refused
    assert refused["status"] == "failed" and broken == ["a.txt"]
    home.write("a.txt", "other bytes")
    home.ingest()
    assert broken == ["a.txt", "a.txt"] and home.outcomes()["a.txt"]["attempts"] == 1


def test_a_failing_file_is_given_up_when_its_tries_are_spent(home: Any, broken: list[str]) -> None:
    home.write("a.txt", "A")
    for attempt in (1, 2, 3, 3, 3):
        home.ingest(retry_delay_s=0.0, retry_budget=3)
        assert home.outcomes()["a.txt"]["attempts"] == attempt
    assert len(broken) == 3 and home.outcomes()["a.txt"]["next_try"] is None


def test_a_failing_file_that_is_gone_is_forgotten(home: Any, broken: list[str]) -> None:
    home.write("a.txt", "A")
    home.ingest()
    (home.raw / "a.txt").unlink()
    home.ingest()
    assert home.outcomes() == {}


# --- What was erased -----------------------------------------------------------------------------


def erase(home: Any, name: str) -> None:
    """Write what a purge leaves of a file: nothing but digests."""
    item = home.items()[name]
    home.store.ledger.append(
        [
            {
                "sequence": 1,
                "event": "purge",
                "subject": mark(item["item_id"]),
                "contents": [mark(item["content_hash"])],
                "places": [mark(origin["uri"]) for origin in item["origins"]],
            }
        ]
    )
    home.store.items.replace(f"item_id = '{item['item_id']}'", [])


@pytest.mark.parametrize("now", ["the same bytes", "other bytes"])
def test_nothing_is_indexed_where_something_was_erased(
    home: Any, monkeypatch: pytest.MonkeyPatch, now: str
) -> None:
    file = home.write("diary_of_ada.txt", "the same bytes")
    home.ingest()
    erase(home, file.name)
    home.write(file.name, now)
    monkeypatch.delattr(ingest_module, "_read")  # nor is it read
    report = home.ingest()
    assert counts(report) == (0, 0, 0, 0) and home.items() == {}
    [outcome] = report.refused
    assert (outcome["status"], outcome["key"]) == ("skipped", digest(file.as_uri()))
    assert outcome["uri"] == home.raw.as_uri() and "it was erased" in outcome["reason"]
    [stored] = home.store.outcomes.rows()
    assert "diary" not in str(stored)
    assert_nothing_is_written(home)
    assert len(home.ingest().refused) == 1
    file.unlink()
    home.ingest()
    assert home.store.outcomes.rows() == []


def test_erased_bytes_are_not_indexed_from_another_place(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home.write("a.txt", "A")
    home.ingest()
    erase(home, "a.txt")
    file.rename(home.raw / "moved.txt")
    home.write("b.txt", "B")
    assert counts(home.ingest()) == (1, 0, 0, 0)
    [outcome] = home.store.outcomes.rows()
    assert outcome["status"] == "skipped" and list(home.items()) == ["b.txt"]
    with monkeypatch.context() as reading:
        reading.delattr(ingest_module, "_read")
        assert_nothing_is_written(home)
    home.write("moved.txt", "other bytes")
    assert counts(home.ingest()) == (1, 0, 0, 1)
    assert home.store.outcomes.rows() == []


def test_a_scan_waits_while_a_purge_has_the_home(home: Any) -> None:
    home.write("a.txt", "A")
    with ThreadPoolExecutor(1) as pool:
        with home.store.lock.exclusive():
            scan = pool.submit(home.ingest)
            with pytest.raises(TimeoutError):
                scan.result(timeout=0.3)
            assert home.items() == {}
        assert counts(scan.result(timeout=PATIENCE_S)) == (1, 0, 0, 0)


# --- Anything that people do to files ------------------------------------------------------------

NAMES = st.sampled_from(["a.txt", "b.txt", "c", "sub/d.txt"])
CONTENTS = st.sampled_from(["one", "two", "six"])
ACTIONS = st.one_of(
    st.tuples(st.just("write"), NAMES, CONTENTS),
    st.tuples(st.sampled_from(["move", "copy", "swap"]), NAMES, NAMES),
    st.tuples(st.just("delete"), NAMES, st.none()),
)
RUNS = st.lists(st.lists(ACTIONS, min_size=1, max_size=4), min_size=2, max_size=6)


def act(home: Any, action: str, name: str, other: str) -> None:
    file = home.raw / name
    if action == "write":
        home.write(name, other)
    elif name == other or not file.exists():
        return
    elif action == "delete":
        file.unlink()
    elif action == "swap":
        if (home.raw / other).exists():
            file.rename(home.raw / "t")
            (home.raw / other).rename(file)
            (home.raw / "t").rename(home.raw / other)
    else:
        place = home.write(other, "")
        (shutil.copy2 if action == "copy" else Path.replace)(file, place)


def assert_the_catalog_is_true(home: Any, batches: dict[str, str]) -> None:
    files = {
        path.relative_to(home.raw).as_posix(): digest(path.read_bytes())
        for path in home.raw.rglob("*")
        if path.is_file()
    }
    rows = home.store.items.rows()
    live = [row for row in rows if not row["deleted"]]
    assert len({row["item_id"] for row in rows}) == len(rows)
    assert all(row["origins"] for row in live)
    assert not any(row["origins"] for row in rows if row["deleted"])
    places = [(o["file_name"], row["content_hash"]) for row in live for o in row["origins"]]
    assert sorted(places) == sorted(files.items())
    for row in live:
        assert row["attributes_hash"] == attributes_of(row).key
    for row in rows:
        assert batches.setdefault(row["item_id"], row["batch"]) == row["batch"]
    for batch in set(batches.values()):
        assert list(batches.values()).count(batch) <= 2


def check_any_history(
    new_home: Callable[[], Any], runs: list[list[tuple[str, str, str]]], together: int
) -> None:
    home, batches, live = new_home(), dict[str, str](), 0
    for actions in runs:
        for action in actions:
            act(home, *action)
        with mock.patch.object(ingest_module, "_TOGETHER", together):
            report = home.ingest(batch_items=2)
        assert_the_catalog_is_true(home, batches)
        live += report.new - report.deleted
        now = len(home.store.items.rows(["item_id"], "deleted = false"))
        assert now == live == report.new + report.changed + report.unchanged
    assert_nothing_is_written(home)
    assert counts(home.ingest()) == (0, 0, 0, live)


# Files of one commit: what an earlier group wrote must be seen by the later ones.
TOGETHER = st.sampled_from([1, 2, 256])
RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=20, deadline=None, suppress_health_check=RELAXED)
@given(RUNS, TOGETHER)
def test_after_any_history_the_catalog_is_true(
    new_home: Callable[[], Any], runs: list[list[tuple[str, str, str]]], together: int
) -> None:
    check_any_history(new_home, runs, together)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=RELAXED)
@given(RUNS, TOGETHER)
def test_after_many_histories_the_catalog_is_true(
    new_home: Callable[[], Any], runs: list[list[tuple[str, str, str]]], together: int
) -> None:
    check_any_history(new_home, runs, together)

"""Keeping house on real tables: what goes, what must stay, and that search is as it was."""

import datetime as dt
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from toy import CHOICES, DIMENSION, MODEL, OTHER, item_id, rows, vector

from pipelines import ledger, outcomes
from pipelines.errors import MediadexError
from pipelines.models.protocols import Identity
from pipelines.releases.candidate import at_version
from pipelines.releases.manifest import Manifest
from pipelines.releases.publish import publish
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.schemas import passage_schema
from pipelines.tables.vectors import HEAD
from pipelines.upkeep import search
from pipelines.upkeep.expiry import expire, expired
from pipelines.upkeep.survey import survey, survey_tables
from pipelines.upkeep.tidy import TidyReport, tidy

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def settings(store: Store, **changed: Any) -> Settings:
    return Settings(home=Path(store.root), **{"keep_days": 0, "keep_releases": 2, **changed})


def house(store: Store, **changed: Any) -> TidyReport:
    """Tidy with the present encoder in use."""
    return tidy(store, settings(store, **changed), {store.channel("visual", MODEL).name})


def put(store: Store, numbers: Iterable[int], model: Identity = MODEL, turn: int = 0) -> None:
    """Insert or replace one vector and one passage for each number."""
    made = rows(numbers, model, recipe=f"r{turn}")
    store.channel("visual", model).upsert(made)
    names = [field.name for field in passage_schema() if field.name not in ("source", "text")]
    store.passages.upsert(
        [
            {name: row[name] for name in names if name in row}
            | {"source": "ocr", "text": f"word{row['item_id']}"}
            for row in made
        ]
    )


def release(store: Store) -> Manifest:
    return publish(store, CHOICES, settings(store, index_rows=300)).manifest


def found(table: Any, number: int) -> str:
    query = table.search(vector(number)).distance_type("cosine").refine_factor(2).nprobes(20)
    return query.limit(1).select(["key", "_distance"]).to_arrow()["key"][0].as_py()


def age(path: Path, days: float) -> None:
    stamp = (outcomes.now() - dt.timedelta(days=days)).timestamp()
    os.utime(path, (stamp, stamp))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_an_empty_home_is_tidy(store: Store) -> None:
    report = house(store)
    assert (report.tables, report.dropped, report.blobs_removed) == ([], [], 0)
    assert survey(store, settings(store)).rows == 0


def test_every_row_is_indexed_in_one_segment_and_found(store: Store) -> None:
    put(store, range(600))
    release(store)
    for turn in range(5):
        put(store, range(600 + 40 * turn, 640 + 40 * turn))
        put(store, range(20 * turn, 20 * turn + 20), turn=turn)
        release(store)
    put(store, range(800, 900))
    store.channel("visual", MODEL).remove([f"{item_id(599)}#image"])
    before = next(t for t in survey_tables(store, 7) if t.table.startswith("visual_"))
    assert before.unindexed == 100 and before.segments > 1
    report = house(store)
    assert report.unindexed[0] >= 100 and report.unindexed[1] == 0
    after = next(t for t in survey_tables(store, 7) if t.table.startswith("visual_"))
    assert (after.unindexed, after.segments, after.rows) == (0, 1, 899)
    assert after.small_files <= search._SMALL_FRAGMENTS
    assert before.small_files > 1
    table = store.channel("visual", MODEL).open()
    assert all(found(table, number) == f"{item_id(number)}#image" for number in range(0, 900, 37))
    assert found(table, 599) != f"{item_id(599)}#image"


def test_a_tidy_home_is_left_as_it_is(store: Store) -> None:
    put(store, range(400))
    store.items.append([{"item_id": "a", "batch": "b", "origins": [], "deleted": False}])
    release(store)
    house(store)
    versions = {name: table.version for name, table in store.facts.items()}
    tables = {name: search._open(store, name).version for name in search.tables(store)}
    house(store)
    assert {name: table.version for name, table in store.facts.items()} == versions
    assert {name: search._open(store, name).version for name in search.tables(store)} == tables


def test_kept_releases_answer_and_others_are_cleaned(store: Store) -> None:
    made = []
    for turn in range(4):
        put(store, range(100 * turn, 100 * turn + 100))
        made.append(release(store))
    put(store, range(400, 410))
    reader = at_version(store, *next(iter(made[2].tables().items())))
    house(store)
    for manifest in made[2:]:
        for name, version in manifest.tables().items():
            table = at_version(store, name, version)
            assert table.tags.get_version(manifest.release) == version
    assert reader.count_rows() == 300 and found(reader, 150) == f"{item_id(150)}#image"
    for name in search.tables(store):
        kept = {manifest.tables()[name] for manifest in made[2:]}
        dataset = search._open(store, name)
        assert {each["version"] for each in dataset.versions()} == {*kept, dataset.version}
        assert set(dataset.tags.list()) == {"r000003", "r000004"}


@pytest.mark.parametrize("wrong", [None, 1])
def test_a_version_without_its_tag_is_tagged_before_cleaning(
    store: Store, wrong: int | None
) -> None:
    put(store, range(50))
    manifest = release(store)
    put(store, range(50, 60))
    dataset = search._open(store, "passages")
    dataset.tags.delete("r000001")
    if wrong:
        dataset.tags.create("r000001", wrong)
    dataset.tags.create("by-hand", 1)
    house(store)
    assert set(search._open(store, "passages").tags.list()) == {"r000001", "by-hand"}
    assert at_version(store, "passages", manifest.tables()["passages"]).count_rows() == 50


def test_young_versions_stay(store: Store) -> None:
    put(store, range(50))
    put(store, range(50, 60))
    versions = len(search._open(store, "passages").versions())
    assert versions > 2
    house(store, keep_days=1)
    assert len(search._open(store, "passages").versions()) >= versions
    assert not any(table.stale for table in survey_tables(store, 0))


def test_tables_of_unused_encoders_are_dropped(store: Store) -> None:
    put(store, range(20))
    put(store, range(20), OTHER)
    store.channel("visual", Identity("released", "1", "", "", DIMENSION, "")).upsert(
        [{"key": "a", "vector": vector(1)}]
    )
    new, old = (store.channel("visual", model).name for model in (MODEL, OTHER))
    assert house(store, keep_days=1).dropped == []
    manifest = release(store)
    assert old not in manifest.tables()
    dropped = house(store).dropped
    assert old in dropped and new not in dropped
    assert {"passages", new} == set(search.tables(store))


def test_delta_tables_lose_old_files_and_log_entries(store: Store, tmp_path: Path) -> None:
    for number in range(12):
        store.texts.append([{"key": str(number), "item_id": "a", "batch": "b", "text": "nine"}])
    before = store.texts.read(["key"]).sort_by("key")
    house(store)
    assert store.texts.read(["key"]).sort_by("key") == before
    folder = tmp_path / "delta" / "texts"
    assert len(list(folder.glob("*.parquet"))) == 1
    assert len(list((folder / "_delta_log").glob("*.json"))) == 1
    store.texts.append([{"key": "12", "item_id": "a", "batch": "b"}])
    assert store.texts.read(["key"]).num_rows == 13
    house(store, keep_days=7)
    assert len(list(folder.glob("*.parquet"))) > 1


def test_only_old_blobs_that_nothing_references_go(store: Store, tmp_path: Path) -> None:
    shown, new, old = (store.blobs.put(name.encode(), ".jpg") for name in ("shown", "new", "old"))
    store.segments.append([{"key": "a", "item_id": "a", "derivative": shown, "thumbnail": None}])
    blobs = tmp_path / "blobs"
    broken, writing = blobs / "aa" / "x.jpg.1.part", blobs / "aa" / "y.jpg.2.part"
    broken.parent.mkdir(exist_ok=True)
    for path in (broken, writing):
        path.write_bytes(b"half")
    for path, days in ((broken, 2), (blobs / old[:2] / old, 9), (blobs / shown[:2] / shown, 9)):
        age(path, days)
    assert house(store, keep_days=7).blobs_removed == 2
    assert files(blobs) == {shown, new, writing.name}


def test_rows_that_tell_of_the_past_go(store: Store) -> None:
    def told(key: str, status: str, days: float) -> dict[str, Any]:
        at = outcomes.now() - dt.timedelta(days=days)
        return {**outcomes.outcome(key, "captions", status, "r"), "updated_at": at}

    store.outcomes.append(
        [told("a", "superseded", 9), told("b", "superseded", 1), told("c", "failed", 9)]
    )
    for days in (400, 100):
        at = outcomes.now() - dt.timedelta(days=days)
        store.costs.append([{"step": str(days), "rows": 1, "seconds": 1.0, "at": at}])
        store.plans.append([{"plan": str(days), "created_at": at}])
    assert house(store, keep_days=7).rows_removed == 3
    assert {row["key"] for row in store.outcomes.rows(["key"])} == {"b", "c"}
    assert [row["step"] for row in store.costs.rows(["step"])] == ["100"]
    assert [row["plan"] for row in store.plans.rows(["plan"])] == ["100"]


def test_writers_are_kept_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    original = search.tables

    def spied(asked: Store) -> list[str]:
        with (
            pytest.raises(MediadexError, match="something else has been working"),
            asked.lock.shared(timeout_s=0),
        ):
            pass
        held.append(True)
        return original(asked)

    monkeypatch.setattr(search, "tables", spied)
    put(store, range(3))
    house(store)
    assert held


def test_a_survey_counts_what_is_there(store: Store, tmp_path: Path) -> None:
    put(store, range(400))
    release(store)
    put(store, range(400, 420))
    store.texts.append([{"key": "a", "text": "nine"}])
    store.texts.append([{"key": "b", "text": "ten"}])
    store.blobs.put(b"12345", ".jpg")
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "runs.db").write_bytes(b"1234567")
    seen = survey(store, settings(store))
    tables = {table.table: table for table in seen.tables}
    visual = tables[store.channel("visual", MODEL).name]
    assert (visual.rows, visual.unindexed, visual.segments, visual.indexed) == (420, 20, 1, True)
    assert (tables["texts"].rows, tables["texts"].versions, tables["texts"].small_files) == (
        2,
        2,
        2,
    )
    assert seen.folders["blobs"] == 5 and seen.folders["dagster"] == 7
    for name in ("delta", "lance"):
        on_disk = sum(p.stat().st_size for p in (tmp_path / name).rglob("*") if p.is_file())
        assert (
            seen.folders[name]
            == on_disk
            == sum(table.bytes for table in seen.tables if table.kind == name)
        )


def item(name: str, *sources: str, days: float = 0, **columns: Any) -> dict[str, Any]:
    origins = [{"uri": f"{source}/{name}", "source": source} for source in sources]
    registered = NOW - dt.timedelta(days=days)
    row = {"item_id": name, "batch": "b", "origins": origins, "registered_at": registered}
    return row | {"deleted": not sources} | columns


def test_items_expire_by_source(store: Store) -> None:
    news, best, own = "file:///feeds/news", "file:///feeds/news/best", "s3://own"
    store.items.append(
        [
            item("young", news, days=29),
            item("old", news, days=30),
            item("published long ago", news, published_at="2026-01-01"),
            item("published lately", news, days=99, published_at="2026-11-10T10:00:00+02:00"),
            item("published who knows when", news, days=99, published_at="spring"),
            item("the best stay longer", best, days=99),
            item("the best stay long enough", best, days=100),
            item("in both", news, best, days=99),
            item("also our own", news, own, days=999),
            item("our own", own, days=999),
            item("gone", days=999),
            item("it's a quote", news, days=31),
        ]
    )
    limits = {"/feeds/news": 30, "file:///feeds/news/best": 100}
    assert expired(store, settings(store, ttl_days=limits), NOW) == [
        "it's a quote",
        "old",
        "published long ago",
        "published who knows when",
        "the best stay long enough",
    ]
    assert expired(store, settings(store), NOW) == []


def test_expired_items_are_erased_once(store: Store) -> None:
    born = outcomes.now() - dt.timedelta(days=31)
    rows = [item("old", "s3://news"), item("kept", "s3://own")]
    store.items.append([row | {"registered_at": born, "content_hash": "0"} for row in rows])
    limits = settings(store, ttl_days={"s3://news": 30})
    assert expire(store, limits) == ["old"]
    assert ledger.pending(store) == ["old"]
    assert [row["reason"] for row in store.ledger.rows(["reason"])] == ["time to live"]
    barred = ledger.barred(store)
    assert barred.bars("s3://news/copy", "0") and not barred.bars("s3://news/old", "1")
    assert expire(store, limits) == expired(store, limits) == []


def test_a_table_that_a_purge_left_half_done_is_left_to_it(store: Store) -> None:
    put(store, range(20))
    table = search._open(store, "passages")
    table.tags.create(HEAD, table.version)
    store.passages._database().open_table("passages").restore(1)
    house(store)
    assert len(search._open(store, "passages").versions()) == table.version + 1
    assert len(store.passages.rows(["key"])) == 20


@pytest.mark.slow
def test_bytes_stay_bounded_over_many_rounds(tmp_path: Path) -> None:
    """Forty rounds of inserts, updates, deletes and releases, with upkeep and without."""
    kept, left = Store(str(tmp_path / "kept")), Store(str(tmp_path / "left"))
    sizes = []
    for store in (kept, left):
        put(store, range(400))
        for turn in range(1, 41):
            new, old = 400 + 5 * turn, 10 * (turn % 20)
            put(store, [*range(new, new + 5), *range(old, old + 5)], turn=turn)
            for table in (store.channel("visual", MODEL), store.passages):
                table.remove([f"{item_id(new - 3)}#image"])
            if turn % 10 == 0:
                release(store)
            if turn % 10 == 0 and store is kept:
                house(store)
                assert not any(t.unindexed or t.segments > 1 for t in survey_tables(store, 0))
                sizes.append(survey(store, settings(store)).bytes)
    # The first had no release to keep.
    assert max(sizes) < 1.5 * sizes[1]
    assert sizes[-1] < survey(left, settings(left)).bytes / 4
    table = kept.channel("visual", MODEL).open()
    keys = [row["key"] for row in kept.channel("visual", MODEL).rows(["key"])]
    assert len(keys) == len(set(keys)) == 600 - 39
    assert [key for key in keys if found(table, int(key[5:9])) != key] == []

"""Snapshots of real homes: consistent while others write, kept a while, brought back."""

import asyncio
import datetime as dt
import itertools
import multiprocessing
import os
import random
import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from toy import CHOICES, MODEL, Toy, fill, item_id, vector
from waiting import PATIENCE_S, wait_until

from pipelines import ledger, snapshots
from pipelines.errors import MediadexError
from pipelines.models import factory
from pipelines.outcomes import now
from pipelines.releases import log
from pipelines.releases.publish import publish
from pipelines.search.asked.query import Query
from pipelines.search.searcher import Searcher
from pipelines.settings import Settings
from pipelines.snapshots.checksums import checksum
from pipelines.store import Store
from pipelines.tables import migrations


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "kept") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def kept(tmp_path: Path) -> str:
    return str(tmp_path / "kept")


def home_at(path: Path, snapshots_at: str, **values: Any) -> Settings:
    return Settings(home=path, snapshots=snapshots_at, index_rows=300, workers=2, **values)


@pytest.fixture
def settings(tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(factory, "image_encoder", Toy)
    return home_at(tmp_path / "home", kept)


@pytest.fixture
def store(settings: Settings) -> Store:
    """A home with two releases, later rows that are in none, and pictures."""
    store = Store(settings.root)
    fill(store, range(8))
    publish(store, CHOICES, settings)
    fill(store, range(8, 12))
    publish(store, CHOICES, settings)
    fill(store, range(12, 14))
    store.outcomes.append([{"key": "k", "step": "captions", "status": "failed"}])
    for picture in (b"one", b"two"):
        store.blobs.put(picture, ".jpg")
    migrations.ensure_current(store)
    settings.home.joinpath("mediadex.toml").write_text("retry_budget = 3\n")
    settings.home.joinpath("dagster").mkdir()
    settings.home.joinpath("dagster", "runs.db").write_text("not ours")
    return store


@pytest.fixture
def fresh(tmp_path: Path, kept: str) -> Settings:
    """Another, empty home that knows the same place of snapshots."""
    return home_at(tmp_path / "fresh", kept)


def answers(store: Store) -> list[list[tuple[str, float]]]:
    """What every release answers, oldest first."""
    found = []
    for manifest in log.read(store).manifests.values():
        for text in ("3", "9", "13"):
            answer = asyncio.run(
                Searcher(store, manifest, Settings(refuse_nonsense=False)).answer(Query(text, k=5))
            )
            found.append([(entry.item_id, entry.score) for entry in answer.shown])
    return found


def pool(place: str) -> dict[str, bytes]:
    system, root = fsspec.core.url_to_fs(place)
    return {path.rsplit("/", 1)[1]: system.cat_file(path) for path in system.find(f"{root}/files")}


def tree(path: str) -> dict[str, bytes]:
    hints = ("_last_checkpoint", "latest_version_hint.json")
    return {
        str(file.relative_to(path)): file.read_bytes()
        for part in ("delta", "lance", "blobs", "proofs")
        for file in Path(path, part).rglob("*")
        if file.is_file() and file.name not in hints
    }


# What comes back


def test_a_restored_home_holds_and_answers_the_same(
    store: Store, settings: Settings, place: str, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"snapshots": place})
    snapshot = snapshots.take(store, settings)
    assert snapshot.rows["items"] == snapshot.rows[store.channel("visual", MODEL).name] == 14
    into = home_at(tmp_path / "back", place)
    restored = snapshots.restore("latest", into)
    back = Store(into.root)
    assert tree(back.root) == tree(store.root)
    assert restored.rows == snapshot.rows and restored.bytes == snapshot.bytes > 0
    assert restored.migrated == [] and restored.erased_again == 0
    assert answers(back) == answers(store)
    assert answers(back)[0][0][0] == item_id(3)
    migrations.ensure_current(back)
    assert (into.home / "mediadex.toml").read_text() == "retry_budget = 3\n"
    assert not (into.home / "dagster").exists() and not (into.home / "partial").exists()
    fill(back, range(20, 22))
    publish(back, CHOICES, into)
    assert answers(back)[:6] == answers(store)


def test_a_snapshot_can_be_named_or_given_by_uri(
    store: Store, settings: Settings, fresh: Settings, tmp_path: Path
) -> None:
    first = snapshots.take(store, settings)
    fill(store, range(20, 25))
    second = snapshots.take(store, settings)
    assert [each.name for each in snapshots.listed(settings)] == [first.name, second.name]
    assert snapshots.restore(first.name, fresh).rows["items"] == 14
    other = home_at(tmp_path / "other", "")
    uri = f"{settings.snapshots}/{second.name}.json"
    assert snapshots.restore(uri, other).rows["items"] == 19


def test_only_an_empty_home_is_restored_into(
    store: Store, settings: Settings, fresh: Settings
) -> None:
    snapshots.take(store, settings)
    before = tree(store.root)
    with pytest.raises(snapshots.HomeInUse, match="empty"):
        snapshots.restore("latest", settings)
    assert tree(store.root) == before
    migrations.ensure_current(store)
    snapshots.restore("latest", fresh)
    with pytest.raises(snapshots.HomeInUse):
        snapshots.restore("latest", fresh)


def test_what_is_missing_is_named(store: Store, settings: Settings, fresh: Settings) -> None:
    for source in ("latest", "2026-01-01T000000.000000Z"):
        with pytest.raises(snapshots.NoSnapshot, match="mediadex snapshot"):
            snapshots.restore(source, fresh)
    with pytest.raises(snapshots.NoSnapshot, match="holds no tables"):
        snapshots.take(Store(fresh.root), fresh)
    with pytest.raises(snapshots.NoSnapshot, match="set `snapshots`"):
        snapshots.take(store, settings.model_copy(update={"snapshots": ""}))


def test_settings_that_lead_to_another_storage_are_put_aside(
    store: Store, settings: Settings, fresh: Settings
) -> None:
    settings.home.joinpath("mediadex.toml").write_text('storage = "s3://lost/home"\n')
    settings.home.joinpath("policy.toml").write_text("[coverage]\nminimum = 0.5\n")
    snapshots.take(store, settings)
    snapshots.restore("latest", fresh)
    assert not (fresh.home / "mediadex.toml").exists()
    assert (fresh.home / "mediadex.restored").exists()
    assert (fresh.home / "policy.toml").read_text() == "[coverage]\nminimum = 0.5\n"


def test_a_snapshot_of_newer_code_is_refused_and_an_older_one_migrated(
    store: Store, settings: Settings, fresh: Settings, tmp_path: Path
) -> None:
    migrations.migrate(store, 0)
    old = snapshots.take(store, settings)
    assert old.migration == 0
    assert snapshots.restore(old.name, fresh).migrated == [
        f"up {each.number}: {each.name}" for each in migrations.MIGRATIONS
    ]
    migrations.ensure_current(Store(fresh.root))
    assert migrations.diff(Store(fresh.root)) == []
    store.migrations.append([{"number": 9, "direction": "up"}] * (migrations.CURRENT + 1))
    snapshots.take(store, settings)
    with pytest.raises(migrations.WrongSchema, match="update mediadex"):
        snapshots.restore("latest", home_at(tmp_path / "other", settings.snapshots))


# Each content once


def test_unchanged_files_are_not_read_again_and_equal_ones_kept_once(
    store: Store, settings: Settings, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"snapshots": place})
    (Path(store.root) / "blobs" / "again.jpg").write_bytes(b"one")
    first = snapshots.take(store, settings)
    assert list(pool(place).values()).count(b"one") == 1
    assert first.read == first.bytes
    store.blobs.put(b"three", ".jpg")
    opened: list[str] = []
    read = snapshots.files.Tree.read

    def reading(self: Any, path: str) -> Any:
        opened.append(path)
        return read(self, path)

    monkeypatch.setattr(snapshots.files.Tree, "read", reading)
    second = snapshots.take(store, settings)
    new = [path for path in opened if path in second.files]
    assert len(new) == 1 and second.files[new[0]].size == second.read == len(b"three")
    assert second.files.items() >= first.files.items()
    assert [state.checksum for state in second.tables] == [s.checksum for s in first.tables]


def test_what_the_pool_lost_is_copied_again(store: Store, settings: Settings, kept: str) -> None:
    first = snapshots.take(store, settings)
    path, lost = next((path, file) for path, file in first.files.items() if "blobs/" in path)
    Path(kept, "files", lost.digest[:2], lost.digest).unlink()
    assert snapshots.take(store, settings).files[path] == lost
    assert snapshots.drill(store, settings).queries > 0


# Consistency


def grow(store: Store, number: int) -> None:
    """Write to every table as a run does: pictures, then rows that name them, then a release."""
    with store.lock.shared():
        picture = store.blobs.put(os.urandom(64), ".jpg")
        fill(store, range(number, number + 3))
        store.segments.append([{"key": str(number), "derivative": picture}])
        table = store.channel("visual", MODEL).open()
        assert table is not None
        table.tags.create(f"t{number}", table.version)


def ensure_whole(store: Store) -> None:
    """Everything that is named is there and can be read."""
    for row in store.segments.rows(["derivative"]):
        assert len(store.blobs.get(row["derivative"])) == 64
    for search in (store.channel("visual", MODEL), store.passages):
        table = search.open()
        assert table is not None
        assert table.search().to_arrow().num_rows == table.count_rows() > 0
        for tag in table.tags.list().values():
            table.checkout(tag["version"])
            assert table.search().to_arrow().num_rows == table.count_rows() > 0
    assert store.items.read().num_rows > 0 and all(answers(store))


def test_what_is_written_between_any_two_steps_leaves_a_snapshot_whole(
    store: Store, settings: Settings, fresh: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, number = snapshots.files.Tree.find, itertools.count(100, 10)
    released = store.releases.version

    def finding(self: Any, pattern: str) -> Any:
        found = find(self, pattern)
        if self.root == store.root:
            grow(store, next(number))
            publish(store, CHOICES, settings)
            store.items.compact()
        return found

    monkeypatch.setattr(snapshots.files.Tree, "find", finding)
    snapshot = snapshots.take(store, settings)
    monkeypatch.undo()
    assert next(number) > 160
    monkeypatch.setattr(factory, "image_encoder", Toy)
    restored = snapshots.restore(snapshot.name, fresh)
    assert restored.rows["items"] >= snapshot.rows["items"]
    assert Store(fresh.root).releases.version == released
    assert not any("hint" in path or "_last_checkpoint" in path for path in snapshot.files)
    ensure_whole(Store(fresh.root))
    snapshots.drill(store, settings)


def writing(root: str, stop: Any) -> None:
    store, number = Store(root), 1000
    while not stop.is_set():
        grow(store, number)
        number += 10


@pytest.mark.slow
def test_a_snapshot_is_whole_while_another_process_writes(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    writer = context.Process(target=writing, args=(store.root, stop), daemon=True)
    writer.start()
    version, taken = store.items.version or 0, []

    def written(upto: int) -> None:
        wait_until(lambda: (store.items.version or 0) >= upto or not writer.is_alive())
        assert writer.is_alive()

    for number in range(4):
        written(version + 2 * number + 1)
        taken.append(snapshots.take(store, settings).name)
    stop.set()
    writer.join(PATIENCE_S)
    assert writer.exitcode == 0
    for name in taken:
        into = home_at(tmp_path / name, settings.snapshots)
        snapshots.restore(name, into)
        ensure_whole(Store(into.root))


def test_a_log_that_is_tidied_meanwhile_is_listed_again(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, fresh: Settings
) -> None:
    from deltalake import DeltaTable

    commit = Path(store.outcomes.uri, "_delta_log", f"{0:020d}.json")
    store.outcomes.append([{"key": "later", "step": "captions", "status": "failed"}])
    find = snapshots.files.Tree.find

    def finding(self: Any, pattern: str) -> Any:
        found = find(self, pattern)
        if pattern == "delta/*/_delta_log" and commit.exists():
            DeltaTable(store.outcomes.uri).create_checkpoint()
            commit.unlink()
        return found

    monkeypatch.setattr(snapshots.files.Tree, "find", finding)
    snapshots.take(store, settings)
    assert not commit.exists()
    monkeypatch.undo()
    snapshots.restore("latest", fresh)
    assert Store(fresh.root).outcomes.read().num_rows == 2


# How long they stay


def aged(place: str, snapshot: snapshots.Snapshot, moment: dt.datetime) -> str:
    """Put a listing where one of that moment would lie."""
    name = moment.strftime("%Y-%m-%dT%H%M%S.%fZ")
    Path(place, f"{snapshot.name}.json").rename(Path(place, f"{name}.json"))
    return name


def test_day_31_goes_and_day_30_stays(store: Store, settings: Settings, kept: str) -> None:
    today = now().replace(hour=4, minute=20)
    names = {}
    for days, content in ((31, b"only in the oldest"), (30, b"only in the second")):
        path = Path(store.root, "blobs", "picture.jpg")
        path.write_bytes(content)
        names[days] = aged(kept, snapshots.take(store, settings), today - dt.timedelta(days))
        path.unlink()
    latest = snapshots.take(store, settings)
    assert snapshots.expire(settings, today) == [names[31]]
    assert snapshots.expire(settings, today) == []
    assert [path.stem for path in sorted(Path(kept).glob("*.json"))] == [names[30], latest.name]
    assert b"only in the oldest" not in pool(kept).values()
    assert b"only in the second" in pool(kept).values()
    assert snapshots.drill(store, settings).snapshot == latest.name


def test_the_newest_stays_however_old(store: Store, settings: Settings, kept: str) -> None:
    aged(kept, snapshots.take(store, settings), now() - dt.timedelta(400))
    assert snapshots.expire(settings) == []
    assert snapshots.drill(store, settings).tables > 0


def test_nothing_older_than_a_moment_is_left_when_it_is_forgotten(
    store: Store, settings: Settings, place: str
) -> None:
    settings = settings.model_copy(update={"snapshots": place})
    secret = Path(store.root, "blobs", "secret.jpg")
    secret.write_bytes(b"erased later")
    first = snapshots.take(store, settings)
    secret.unlink()
    assert b"erased later" in pool(place).values()
    second = snapshots.take(store, settings)
    assert snapshots.forget_before(settings, second.taken_at) == [first.name]
    assert b"erased later" not in pool(place).values()
    assert snapshots.drill(store, settings).snapshot == second.name
    assert snapshots.forget_before(settings, now()) == [second.name]
    assert pool(place) == {}


# Erasures


def test_a_restore_never_brings_an_erased_item_back(
    store: Store, settings: Settings, fresh: Settings
) -> None:
    snapshots.take(store, settings)
    fill(store, [40])
    item = {"content_hash": "bytes of 40", "origins": [{"uri": "file:///raw/40.jpg"}]}
    row = store.items.rows(where=f"item_id = '{item_id(40)}'")[0]
    store.items.replace(f"item_id = '{item_id(40)}'", [row | item])
    ledger.erase(store, [item_id(3), item_id(40)], "asked for")
    assert snapshots.remember_erasures(store, settings) == 2
    assert snapshots.remember_erasures(store, settings) == 0
    listing = [path.read_text() for path in Path(settings.snapshots, "erased").iterdir()]
    assert not any(item_id(3) in text or "40.jpg" in text for text in listing)

    restored = snapshots.restore("latest", fresh)
    back = Store(fresh.root)
    assert restored.erased_again == 1
    assert ledger.pending(back) == [item_id(3)]
    assert back.items.rows(["deleted"], f"item_id = '{item_id(3)}'") == [{"deleted": True}]
    assert ledger.barred(back).bars("file:///elsewhere", "bytes of 40")
    assert ledger.barred(back).bars("file:///raw/40.jpg", "other bytes")
    numbers = back.ledger.read(["sequence"])["sequence"].to_pylist()
    assert len(numbers) == len(set(numbers)) == 3
    again = home_at(fresh.home.parent / "again", settings.snapshots)
    snapshots.take(back, fresh)
    assert snapshots.restore("latest", again).erased_again == 0
    assert ledger.pending(Store(again.root)) == [item_id(3)]


def test_a_home_whose_restore_was_broken_off_is_not_used(
    store: Store, settings: Settings, fresh: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots.take(store, settings)

    def dies(*args: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(snapshots.restoring, "erase_again", dies)
    with pytest.raises(KeyboardInterrupt):
        snapshots.restore("latest", fresh)
    with pytest.raises(MediadexError, match="broken off"):
        migrations.ensure_current(Store(fresh.root))


# The drill


def test_a_drill_compares_everything_and_leaves_nothing(
    store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    snapshot = snapshots.take(store, settings)
    fill(store, range(30, 40))
    report = snapshots.drill(store, settings)
    # Two releases and the newest version of the vectors and of the passages.
    assert sum(state.kind == "lance" for state in snapshot.tables) == 6
    assert report.tables == len(snapshot.tables) and report.queries == 9
    assert report.rows == sum(state.rows for state in snapshot.tables)
    assert report.bytes == snapshot.bytes and report.gib_per_second > 0
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("damage", ["altered", "cut", "gone"])
def test_a_damaged_file_fails_the_drill_and_the_restore_by_name(
    store: Store, settings: Settings, fresh: Settings, kept: str, damage: str
) -> None:
    snapshot = snapshots.take(store, settings)
    file = random.choice(sorted(snapshot.files.values()))
    damaged = Path(kept, "files", file.digest[:2], file.digest)
    data = damaged.read_bytes()
    if damage == "gone":
        damaged.unlink()
    else:
        damaged.write_bytes(data[:-1] if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])
    for work in (
        lambda: snapshots.drill(store, settings),
        lambda: snapshots.restore("latest", fresh),
    ):
        with pytest.raises(snapshots.SnapshotDamaged, match=file.digest) as failure:
            work()
        # Two files may hold the same bytes, and then either is named.
        same = [name for name, f in snapshot.files.items() if f.digest == file.digest]
        assert any(name in str(failure.value) for name in same)
    with pytest.raises(MediadexError, match="broken off"):
        migrations.ensure_current(Store(fresh.root))


@pytest.mark.parametrize("kind", ["delta", "lance"])
def test_rows_that_are_not_those_of_the_snapshot_fail_the_drill(
    store: Store, settings: Settings, kept: str, kind: str
) -> None:
    snapshot = snapshots.take(store, settings)
    wrong = next(state for state in snapshot.tables if state.kind == kind)
    wrong.checksum = "0" * 32
    Path(kept, f"{snapshot.name}.json").write_text(snapshot.model_dump_json())
    with pytest.raises(snapshots.SnapshotDamaged, match=f"{wrong.table} at version"):
        snapshots.drill(store, settings)


def test_other_answers_than_in_the_live_home_fail_the_drill(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots.take(store, settings)
    calls = iter(range(1000))
    monkeypatch.setattr(snapshots.drills, "_nearest", lambda *_: next(calls))
    with pytest.raises(snapshots.SnapshotDamaged, match="answers otherwise"):
        snapshots.drill(store, settings)


# Checksums


def columns_of_all_kinds(rows: int) -> pa.Table:
    chance = random.Random(7)

    def some(value: Any) -> Any:
        return None if chance.random() < 0.1 else value

    width = 4
    return pa.table(
        {
            "text": pa.array([some("x" * chance.randrange(9) + str(n)) for n in range(rows)]),
            "number": pa.array([some(n) for n in range(rows)], pa.int32()),
            "flag": pa.array([some(n % 3 == 0) for n in range(rows)]),
            "tags": pa.array([some([str(i) for i in range(n % 4)]) for n in range(rows)]),
            "places": pa.array(
                [[{"uri": str(n), "note": some("a")}] * (n % 3) for n in range(rows)]
            ),
            "time": pa.array([some(n) for n in range(rows)], pa.timestamp("us", tz="UTC")),
            "vector": pa.array(
                [some(vector(n)[:width].tolist()) for n in range(rows)],
                pa.list_(pa.float32(), width),
            ),
        }
    )


def test_a_checksum_sees_rows_and_not_their_order_or_files() -> None:
    table = columns_of_all_kinds(400)
    whole = checksum(table.to_batches())
    assert whole[0] == 400 and checksum([]) == (0, "0" * 32)
    order = np.random.default_rng(0).permutation(400)
    mixed = table.take(order).select(table.column_names[::-1])
    assert checksum(mixed.to_batches(max_chunksize=37)) == whole
    views = table.set_column(0, "text", table["text"].cast(pa.string_view()))
    assert checksum(views.to_batches()) == whole
    assert checksum(table.rename_columns(["t", *table.column_names[1:]]).to_batches()) != whole
    assert checksum(table.slice(1).to_batches()) != whole
    assert checksum(pa.concat_tables([table.slice(1), table.slice(1, 1)]).to_batches()) != whole


@pytest.mark.parametrize("name", columns_of_all_kinds(1).column_names)
def test_a_checksum_sees_one_changed_or_two_exchanged_values(name: str) -> None:
    table = columns_of_all_kinds(60)
    whole = checksum(table.to_batches())[1]
    place, kind = table.column_names.index(name), table.schema.field(name).type
    for first, second in ((0, 7), (7, 20), (31, 59)):
        values = table[name].to_pylist()
        values[first], values[second] = values[second], values[first]
        exchanged = table.set_column(place, name, pa.array(values, kind))
        values[second] = values[first]
        changed = table.set_column(place, name, pa.array(values, kind))
        for other in (exchanged, changed):
            assert (checksum(other.to_batches())[1] == whole) == other.equals(table)

"""Erasing over real tables: what is gone, what stays, and what a killed purge leaves."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lance
import lancedb
import numpy as np
import pytest
import stocked
from lance.file import LanceFileReader
from lancedb.index import IvfRq
from stocked import item_id, marks, release, stock, traces, unstock
from toy import MODEL, vector

from pipelines import ledger
from pipelines.erasure.needles import SHORT, Finder, Needle
from pipelines.erasure.proof import Proof
from pipelines.erasure.purge import is_due, purge
from pipelines.errors import MediadexError
from pipelines.recipes import digest
from pipelines.releases import log
from pipelines.releases.publish import is_current, rollback
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.vectors import HEAD

INDEXED = 256
# In the first release; in a fragment with the next alone; gone before the last release.
OLD, ALONE, UNSTOCKED = 7, 299, 265
ERASED = (OLD, ALONE, UNSTOCKED)
LEFT = 11


def build(home: Path, first: int = 40) -> tuple[Store, Settings, list[str]]:
    """Publish three releases; those items stand in all tables, the files of none are there."""
    settings = Settings(home=home, index_rows=INDEXED)
    store = Store(settings.root)
    stock(store, range(first))
    made = [release(store, settings)]
    stock(store, [ALONE, UNSTOCKED])
    made.append(release(store, settings))
    stock(store, range(300, 305))
    unstock(store, UNSTOCKED)
    made.append(release(store, settings))
    stocked.instance_files(home, OLD)
    return store, settings, made


def codes(store: Store) -> dict[str, tuple[int, int]]:
    """Rows of the vector table and codes in its index, by release, where there is an index."""
    counted = {}
    for name, manifest in log.manifests(store).items():
        channel = manifest.channels["visual"]
        path = f"{store.search_root}/{channel.table}.lance"
        dataset = lance.dataset(path, version=channel.version)
        if dataset.describe_indices():
            counted[name] = (dataset.count_rows(), codes_in(dataset))
    return counted


def codes_in(dataset: lance.LanceDataset) -> int:
    folder = Path(dataset.uri) / "_indices"
    (index,) = [each for each in dataset.describe_indices() if each.field_names == ["vector"]]
    files = [folder / segment.uuid / "auxiliary.idx" for segment in index.segments]
    return sum(LanceFileReader(str(file)).num_rows() for file in files)


def erase(store: Store, numbers: Sequence[int] = ERASED) -> list[dict[str, Any]]:
    return ledger.erase(store, [item_id(number) for number in numbers], "asked to")


def done(store: Store, settings: Settings, **how: Any) -> Proof:
    made = purge(store, settings, grace_s=0, **how)
    assert made is not None
    return made


def ids(store: Store, release: str) -> set[str]:
    """Item ids in the tables of a release."""
    database = lancedb.connect(store.search_root)
    found: set[str] = set()
    for name, version in log.manifests(store)[release].tables().items():
        table = database.open_table(name)
        table.checkout(version)
        found |= set(table.search().select(["item_id"]).to_arrow()["item_id"].to_pylist())
    return found


# --- Erasing -------------------------------------------------------------------------------------


def test_an_erased_item_is_hidden_at_once_and_kept_from_coming_back(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    stock(store, range(5))
    erase(store, (2,))
    assert ledger.pending(store) == [item_id(2)]
    assert store.items.rows(["item_id"], "deleted = false AND item_id = '" + item_id(2) + "'") == []
    barred = ledger.barred(store)
    assert barred.bars(stocked.uri(2), "other bytes")
    assert barred.bars("file:///elsewhere", digest("content", "2"))
    assert not barred.bars(stocked.uri(3), digest("content", "3"))


def test_erasing_twice_is_erasing_once_and_unknown_ids_erase_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    stock(store, range(5))
    assert len(erase(store, (2,))) == 1 and erase(store, (2,)) == []
    with pytest.raises(MediadexError, match=r"no item has the id 'nobody'"):
        ledger.erase(store, [item_id(3), "nobody"], "")
    assert ledger.pending(store) == [item_id(2)]


def test_all_items_of_an_owner_are_erased(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    stock(store, range(25))
    assert ledger.owned_by(store, "Ada") == sorted(item_id(n) for n in (3, 13, 23))
    with pytest.raises(MediadexError, match="owner"):
        ledger.owned_by(store, "Nobody")


# --- Purging -------------------------------------------------------------------------------------


@pytest.fixture(params=[40, INDEXED], ids=["exact", "indexed"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, Settings, list[str]]:
    return build(tmp_path / "home", request.param)


def test_no_byte_of_an_erased_item_is_left(home: tuple[Store, Settings, list[str]]) -> None:
    store, settings, releases = home
    held = {what for some in traces(settings.home, OLD).values() for what in some}
    assert held >= marks(OLD).keys() - {"blob name"}
    before = {name: ids(store, name) for name in releases}
    erase(store)
    assert is_due(store)
    proof = done(store, settings)
    assert not is_due(store) and purge(store, settings) is None
    for number in ERASED:
        assert traces(settings.home, number) == {}
    gone = {item_id(number) for number in ERASED}
    for name in releases:
        assert ids(store, name) == before[name] - gone
    counted = codes(store)
    assert len(counted) == (3 if log.require(store).channels["visual"].indexed else 0)
    assert all(rows == there for rows, there in counted.values())
    # What stays is whole: the neighbour still stands in the same places.
    held = {what for some in traces(settings.home, LEFT).values() for what in some}
    assert held >= marks(LEFT).keys() - {"blob name"}
    assert proof.found == 0 and len(proof.items) == len(ERASED)
    written = Path(proof.uri).read_bytes()
    assert json.loads(written)["searched"]["dagster"]["files"] == 2
    for number in ERASED:
        assert not any(value in written for value in marks(number).values())
    assert proof.sought["vector"].values == 3 and proof.sought["vector"].shared == 0
    # `a cup`, `rain` and `others` are said of other items too.
    assert proof.sought["text"].shared == 1 and proof.sought["attribute"].shared >= 2


def test_releases_stay_servable_and_the_newest_stands(
    home: tuple[Store, Settings, list[str]],
) -> None:
    store, settings, releases = home
    before = log.manifests(store)
    erase(store)
    done(store, settings)
    assert list(log.manifests(store)) == releases
    assert is_current(store, stocked.CHOICES)
    after = rollback(store, releases[0])
    assert item_id(OLD) not in ids(store, releases[0])
    assert after.items == before[releases[0]].items - 1
    database = lancedb.connect(store.search_root)
    for name in after.tables():
        table = database.open_table(name)
        assert sorted(table.tags.list()) == releases
        # Those of the three releases, and no other.
        assert len(table.list_versions()) == 3
    table = database.open_table(after.channels["visual"].table)
    table.checkout(after.channels["visual"].version)
    near = table.search(vector(OLD)).distance_type("cosine").limit(300).to_arrow()
    assert item_id(OLD) not in near["item_id"].to_pylist()
    near = table.search(vector(LEFT)).distance_type("cosine").limit(1).refine_factor(2).to_arrow()
    assert near["item_id"].to_pylist() == [item_id(LEFT)]
    words = database.open_table("passages")
    words.checkout(releases[0])
    for number, expected in ((OLD, []), (LEFT, [item_id(LEFT)])):
        word = f"quokka{stocked.letters(number)}"
        found = words.search(word, query_type="fts").limit(5).to_arrow()
        assert found["item_id"].to_pylist() == expected


def test_what_was_erased_stays_barred_when_only_digests_are_left(tmp_path: Path) -> None:
    store, settings, _ = build(tmp_path)
    erase(store, (OLD,))
    done(store, settings)
    assert ledger.pending(store) == []
    assert ledger.barred(store).bars(stocked.uri(OLD), "other bytes")
    events = [(row["event"], row["item_id"]) for row in store.ledger.rows()]
    assert sorted(events) == [("erased", None), ("purged", None)]


def test_releases_that_are_not_kept_lose_their_tables(tmp_path: Path) -> None:
    store, settings, releases = build(tmp_path)
    erase(store, (OLD,))
    done(store, settings.model_copy(update={"keep_releases": 2}))
    table = lancedb.connect(store.search_root).open_table("passages")
    assert sorted(table.tags.list()) == releases[1:]
    assert traces(tmp_path, OLD) == {}


def test_a_release_of_which_nothing_is_left_has_no_tables(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    store = Store(settings.root)
    stock(store, range(2))
    release(store, settings)
    erase(store, (0, 1))
    done(store, settings)
    manifest = log.require(store)
    assert (manifest.items, manifest.channels, manifest.passages) == (0, {}, None)
    assert traces(tmp_path, 0) == {} == traces(tmp_path, 1)


def test_others_are_told_whose_traces_to_remove_before_the_search(tmp_path: Path) -> None:
    store, settings, _ = build(tmp_path)
    picture = tmp_path / "dagster" / "sheet"
    picture.write_bytes(b"..." + marks(OLD)["picture"])
    erase(store, (OLD,))
    told: list[tuple[Any, Any]] = []

    def cleanse(batches: Any, items: Any) -> None:
        told.append((batches, items))
        picture.unlink()

    done(store, settings, cleanse=cleanse)
    assert told == [({stocked.batch(OLD)}, {item_id(OLD)})]


def test_what_is_found_anywhere_keeps_the_erasure_pending(tmp_path: Path) -> None:
    store, settings, _ = build(tmp_path)
    stray = tmp_path / "dagster" / "stray.log"
    erase(store, (OLD,))
    for what in ("id", "uri", "text", "picture", "vector", "content"):
        value = blob_middle(OLD) if what == "picture" else marks(OLD)[what]
        stray.write_bytes(b"x" * 13 + value + b"y")
        with pytest.raises(MediadexError, match=r"dagster/stray\.log") as error:
            purge(store, settings, grace_s=0)
        assert not any(mark.decode("latin-1") in str(error.value) for mark in marks(OLD).values())
        assert is_due(store) and not (tmp_path / "proofs").exists()
    stray.unlink()
    done(store, settings)
    assert not is_due(store) and traces(tmp_path, OLD) == {}


def blob_middle(number: int) -> bytes:
    data = stocked.blob(number)
    return data[len(data) // 2 - 40 : len(data) // 2 + 40]


def test_indexes_forget_a_fragment_that_is_dropped_as_a_whole(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, index_rows=INDEXED)
    store = Store(settings.root)
    stock(store, range(INDEXED))
    release(store, settings)
    stock(store, [ALONE])
    for table in (store.channel("visual", MODEL), store.passages):
        opened = table.open()
        assert opened is not None
        opened.to_lance().optimize.optimize_indices(num_indices_to_merge=1)
    visual = store.channel("visual", MODEL).open()
    assert visual is not None and codes_in(visual.to_lance()) == INDEXED + 1
    erase(store, [ALONE])
    done(store, settings)
    visual.checkout_latest()
    assert codes_in(visual.to_lance()) == visual.count_rows() == INDEXED
    assert traces(tmp_path, ALONE) == {}


def test_a_vector_that_is_the_centre_of_its_partition_goes_too(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, index_rows=INDEXED)
    store = Store(settings.root)
    stock(store, range(INDEXED))
    alone = range(10)
    search = store.channel("visual", MODEL)
    rows = search.rows([name for name in search.schema.names if name != "extra"])
    # Ten lie apart from each other and from all the rest, which lie together.
    size = len(vector(0))
    points = np.eye(size, dtype=np.float32) + np.stack([vector(n) / 20 for n in range(size)])
    for number, row in enumerate(rows):
        apart = [points[n] for n in alone if row["item_id"] == item_id(n)]
        row["vector"] = apart[0] if apart else points[10:].sum(axis=0) + vector(number) / 2
    search.upsert(rows)
    release(store, settings)
    table = search.open()
    assert table is not None
    for _ in range(20):
        # Where training begins is left to chance.
        config = IvfRq(distance_type="cosine", num_partitions=30)
        table.create_index("vector", config=config, replace=True)
        if any(nearest_centre(store, points[number]) > 1 - 1e-6 for number in alone):
            break
    centred = [number for number in alone if nearest_centre(store, points[number]) > 1 - 1e-6]
    assert centred
    erase(store, centred)
    done(store, settings)
    for number in centred:
        assert nearest_centre(store, points[number]) < 0.99
        assert traces(tmp_path, number) == {}


def nearest_centre(store: Store, vector: np.ndarray) -> float:
    table = store.channel("visual", MODEL).open()
    assert table is not None
    centres = table.to_lance().centroids(index_name="vector_idx")
    centres = centres.values.to_numpy().reshape(-1, len(vector))
    lengths = np.linalg.norm(centres, axis=1) * np.linalg.norm(vector)
    return float((centres @ vector / lengths).max())


# --- Interrupted ---------------------------------------------------------------------------------

PURGE = """
import sys
from pathlib import Path
from pipelines.erasure.purge import purge
from pipelines.settings import Settings
from pipelines.store import Store
settings = Settings(home=Path(sys.argv[1]), index_rows=256)
print("begun", flush=True)
purge(Store(settings.root), settings, grace_s=0)
print("done", flush=True)
"""


def start(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PURGE, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    return process


def contents(store: Store, releases: list[str]) -> dict[str, Any]:
    """Everything that a purge leaves, without version numbers and times."""
    manifests = log.manifests(store)
    return {
        "ids": {name: ids(store, name) for name in releases},
        "items": {name: manifests[name].items for name in releases},
        "rows": {
            name: {channel: each.rows for channel, each in manifests[name].channels.items()}
            for name in releases
        },
        "facts": {
            name: sorted(str(row["item_id"]) for row in table.rows(["item_id"]))
            for name, table in store.facts.items()
            if "item_id" in table.schema.names and name != "ledger"
        },
        "blobs": store.blobs.names(),
        "pending": ledger.pending(store),
        "newest": sorted(store.passages.read(["item_id"])["item_id"].to_pylist()),
    }


@pytest.mark.slow
def test_a_purge_that_is_killed_ends_where_one_ends(tmp_path: Path) -> None:
    whole, settings, releases = build(tmp_path / "whole", INDEXED)
    erase(whole)
    began = time.monotonic()
    done(whole, settings)
    seconds = time.monotonic() - began
    expected = contents(whole, releases)
    store, settings, releases = build(tmp_path / "killed", INDEXED)
    erase(store)
    chance = random.Random(5)
    kills = 0
    for number in range(7):
        process = start(settings.home)
        # Sooner at first: a busy machine may have taken longer for the whole than it takes now.
        time.sleep(chance.uniform(0.1, seconds * (number + 1) / 7))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += process.stdout is not None and process.stdout.read() == ""
        # In between, the newest content is what is read, and nothing of it is lost.
        newest = set(store.passages.read(["item_id"])["item_id"].to_pylist())
        assert newest >= set(expected["newest"])
    assert kills >= 3
    if is_due(store):
        done(store, settings)
    assert contents(store, releases) == expected
    assert not (settings.home / "purge.json").exists()
    for number in ERASED:
        assert traces(settings.home, number) == {}
    proofs = sorted((settings.home / "proofs").iterdir())
    assert json.loads(proofs[-1].read_text())["found"] == 0


def test_a_writer_after_a_killed_purge_goes_on_from_the_newest_content(tmp_path: Path) -> None:
    store, settings, releases = build(tmp_path)
    oldest = log.manifests(store)[releases[0]].tables()["passages"]
    newest = sorted(store.passages.read(["key"])["key"].to_pylist())
    table = lancedb.connect(store.search_root).open_table("passages")
    # What a purge has done at this point: an older version lies on top of the newest.
    table.tags.create(HEAD, table.version)
    table.restore(oldest)
    assert sorted(store.passages.read(["key"])["key"].to_pylist()) == newest
    erase(store, (OLD,))
    store.passages.remove([f"{item_id(LEFT)}#image"])
    newest.remove(f"{item_id(LEFT)}#image")
    assert sorted(store.passages.read(["key"])["key"].to_pylist()) == newest
    done(store, settings)
    newest.remove(f"{item_id(OLD)}#image")
    assert sorted(store.passages.read(["key"])["key"].to_pylist()) == newest
    assert traces(tmp_path, OLD) == {}


def test_items_erased_after_a_failed_purge_join_it(tmp_path: Path) -> None:
    store, settings, _ = build(tmp_path)
    erase(store, (OLD,))

    def fails(batches: Any, items: Any) -> None:
        raise MediadexError("not now")

    with pytest.raises(MediadexError, match="not now"):
        purge(store, settings, grace_s=0, cleanse=fails)
    erase(store, (ALONE,))
    proof = done(store, settings)
    assert proof.items == sorted([ledger.mark(item_id(OLD)), ledger.mark(item_id(ALONE))])
    assert traces(tmp_path, OLD) == {} == traces(tmp_path, ALONE)


# --- Finding -------------------------------------------------------------------------------------


def test_many_strings_are_found_wherever_they_stand() -> None:
    chance = random.Random(1)
    for _ in range(400):
        data = bytes(chance.choices(b"ab", k=chance.randrange(200)))
        values = set()
        for _ in range(5):
            size = chance.randrange(SHORT, 30)
            begin = chance.randrange(200)
            values.add(data[begin : begin + size])
            values.add(bytes(chance.choices(b"ab", k=size)))
        needles = [Needle("id", value) for value in values if len(value) >= SHORT]
        expected = {n for n, needle in enumerate(needles) if needle.value in data}
        assert Finder(needles).in_bytes(data) == expected

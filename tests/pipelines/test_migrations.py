"""Homes of older and newer columns: what is missing, the way there, and the way back."""

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from projects import Models, Project

from pipelines.attributes import attributes_of
from pipelines.store import Store
from pipelines.tables import columns, migrations
from pipelines.tables.facts import FactTable
from pipelines.tables.migrations import CURRENT, MIGRATIONS, WrongSchema
from pipelines.tables.vectors import SearchTable

TIME = pa.timestamp("us", tz="UTC")
T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

# The tables of number 0, as they were written then.
_ORIGIN = pa.struct(
    [(name, pa.string()) for name in ("uri", "source", "file_name", "fingerprint", "metadata_hash")]
)
ITEMS_0 = pa.schema(
    [
        *((name, pa.string()) for name in ("item_id", "batch", "kind", "media_type")),
        ("content_hash", pa.string()),
        ("perceptual_hash", pa.string()),
        ("size", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("origins", pa.list_(_ORIGIN)),
        *((name, pa.string()) for name in ("title", "description", "alt", "transcript", "domain")),
        *((name, pa.string()) for name in ("region", "usage_rights", "consent")),
        *((name, pa.string()) for name in ("consent_expires", "owner", "business_unit")),
        *((name, pa.string()) for name in ("product_family", "published_at")),
        ("tags", pa.list_(pa.string())),
        ("extra", pa.string()),
        ("deleted", pa.bool_()),
        ("registered_at", TIME),
        ("updated_at", TIME),
    ]
)
OUTCOMES_0 = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "item_id", "batch", "step", "status")),
        ("error", pa.string()),
        ("reason", pa.string()),
        ("attempts", pa.int32()),
        ("uri", pa.string()),
        ("recipe", pa.string()),
        ("updated_at", TIME),
    ]
)
RELEASES_0 = pa.schema([("release", pa.string()), ("created_at", TIME), ("manifest", pa.string())])
OLD = {"items": ITEMS_0, "outcomes": OUTCOMES_0, "releases": RELEASES_0}


def item(name: str, *, deleted: bool = False) -> dict[str, Any]:
    origin = {"uri": f"file:///{name}", "source": "file:///", "file_name": name}
    return {
        "item_id": name,
        "batch": "b",
        "region": "eu",
        "title": f"It's {name}",
        "tags": ["x"],
        "extra": '{"price": 3, "sizes": [1, 2]}',
        "origins": [] if deleted else [origin],
        "deleted": deleted,
        "updated_at": T0,
    }


def ended(key: str, status: str) -> dict[str, Any]:
    row = {"key": key, "item_id": key, "step": "captions", "status": status, "attempts": 1}
    return row | {"recipe": "r", "updated_at": T0}


NAMES = [
    "retries, hashes of attributes, a log of releases",
    "length, modalities and subtitles of sound and video",
    "groups that may see an item, and a journal of queries",
]
UP = [f"up {number}: {name}" for number, name in enumerate(NAMES, start=1)]
ROWS = {
    "items": [item("a"), item("b"), item("gone", deleted=True)],
    "outcomes": [ended("a", "ok"), ended("b", "failed"), ended("c", "skipped")],
    "releases": [
        {"release": f"r00000{n}", "created_at": T0 + dt.timedelta(n), "manifest": f'{{"n": {n}}}'}
        for n in (2, 1)
    ],
}


@pytest.fixture
def old(tmp_path: Path) -> Store:
    """A home of number 0."""
    store = Store(str(tmp_path / "home"))
    for name, rows in ROWS.items():
        write_deltalake(store.facts[name].uri, pa.Table.from_pylist(rows, schema=OLD[name]))
    return store


def stored_rows(store: Store, name: str, key: str) -> list[dict[str, Any]]:
    table = DeltaTable(store.facts[name].uri)
    schema = pa.schema(table.schema())
    return sorted(FactTable(table.table_uri, schema).rows(), key=lambda row: row[key])


def shapes(store: Store) -> dict[str, dict[str, pa.DataType]]:
    found = {name: columns.stored(table) for name, table in store.facts.items()}
    return {name: {f.name: f.type for f in has} for name, has in found.items() if has is not None}


def test_a_change_of_the_columns_has_a_migration() -> None:
    digest = migrations.schema_digest()
    assert MIGRATIONS[-1].schema == digest, (
        "schemas.py has changed: add a Migration with its way back to MIGRATIONS, "
        f"with schema={digest!r}"
    )
    assert [each.number for each in MIGRATIONS] == list(range(1, CURRENT + 1))


def test_a_new_home_is_current_and_nothing_is_done_to_it(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "home"))
    migrations.ensure_current(store)
    assert migrations.state(store) == CURRENT and migrations.pending(store) == []
    assert not (tmp_path / "home").exists()
    store.items.append([item("a")])
    migrations.ensure_current(store)
    migrations.ensure_current(store)
    assert [row["direction"] for row in store.migrations.rows()] == ["start"]
    assert migrations.diff(store) == [] and migrations.migrate(store) == []


def test_an_older_home_is_refused_with_the_way_out_and_says_what_would_change(old: Store) -> None:
    with pytest.raises(WrongSchema, match="mediadex migrate"):
        migrations.ensure_current(old)
    assert migrations.state(old) == 0
    assert [each.name for each in migrations.pending(old)] == NAMES
    assert migrations.diff(old) == [
        "items: + sound_hash string",
        "items: + subtitles string",
        "items: + subtitles_hash string",
        "items: + duration_s double",
        "items: + modalities list<string>",
        "items: + access list<string>",
        "items: + attributes_hash string",
        "outcomes: + next_try timestamp[us, tz=UTC]",
        "releases: + sequence int64",
        "releases: + event string",
        "releases: + verdict string",
        "releases: + note string",
    ]


def test_up_gives_what_a_new_home_has(old: Store, tmp_path: Path) -> None:
    assert migrations.migrate(old) == UP
    migrations.ensure_current(old)
    assert migrations.diff(old) == []
    new = Store(str(tmp_path / "new"))
    new.items.append([item("a")])
    new.outcomes.append([ended("a", "failed")])
    new.releases.append([{"sequence": 1, "release": "r000001"}])
    new.migrations.append([{"number": CURRENT, "direction": "start"}])
    assert shapes(old) == shapes(new)

    items = {row["item_id"]: row for row in old.items.rows()}
    for name in ("a", "b"):
        assert items[name]["attributes_hash"] == attributes_of(items[name]).key
    assert items["gone"]["attributes_hash"] is None
    kept = [{k: v for k, v in row.items() if k in ITEMS_0.names} for row in items.values()]
    unset = dict.fromkeys(ITEMS_0.names)
    origin = {"fingerprint": None, "metadata_hash": None}
    assert sorted(kept, key=lambda row: row["item_id"]) == [
        unset | row | {"origins": [entry | origin for entry in row["origins"]]}
        for row in ROWS["items"]
    ]
    tries = {row["key"]: row["next_try"] for row in old.outcomes.rows()}
    assert tries == {"b": T0, "c": None}
    log = sorted(old.releases.rows(), key=lambda row: row["sequence"])
    assert [(row["sequence"], row["event"], row["release"]) for row in log] == [
        (1, "promoted", "r000001"),
        (2, "promoted", "r000002"),
    ]
    assert [row["manifest"] for row in log] == ['{"n": 1}', '{"n": 2}']


def test_down_gives_the_old_columns_and_values_back_and_up_works_again(old: Store) -> None:
    before = {name: stored_rows(old, name, key) for name, key in KEYS.items()}
    migrations.migrate(old)
    assert migrations.migrate(old, 0) == [f"down {n}: {NAMES[n - 1]}" for n in (3, 2, 1)]
    assert migrations.state(old) == 0
    assert shapes(old) | {"migrations": {}} == {
        **{name: {f.name: f.type for f in schema} for name, schema in OLD.items()},
        "migrations": {},
    }
    before["outcomes"] = [row for row in before["outcomes"] if row["status"] != "ok"]
    assert {name: stored_rows(old, name, key) for name, key in KEYS.items()} == before
    with pytest.raises(WrongSchema):
        migrations.ensure_current(old)
    assert migrations.migrate(old) == UP
    assert migrations.diff(old) == []
    assert [row["direction"] for row in old.migrations.rows()].count("up") == 2 * CURRENT


KEYS = {"items": "item_id", "outcomes": "key", "releases": "release"}


def test_the_way_back_serves_what_serves_now(old: Store) -> None:
    migrations.migrate(old)
    events = [
        ("promoted", "r000003", '{"n": 3}'),
        ("refused", "r000004", '{"n": 4}'),
        ("rolled back", "r000002", None),
        ("rewritten", "r000002", '{"n": "2 without an erased item"}'),
        ("candidate", "r000005", '{"n": 5}'),
    ]
    old.releases.append(
        [
            {"sequence": place, "event": event, "release": name, "manifest": manifest}
            | {"created_at": T0 + dt.timedelta(30 + place)}
            for place, (event, name, manifest) in enumerate(events, start=3)
        ]
    )
    old.outcomes.append([ended("d", "superseded")])
    migrations.migrate(old, 0)
    rows = stored_rows(old, "releases", "release")
    assert [(row["release"], row["manifest"]) for row in rows] == [
        ("r000001", '{"n": 1}'),
        ("r000002", '{"n": "2 without an erased item"}'),
    ]
    assert rows[1]["created_at"] == T0 + dt.timedelta(2)
    assert [row["key"] for row in stored_rows(old, "outcomes", "key")] == ["b", "c"]


def test_a_home_of_newer_code_is_refused(old: Store) -> None:
    migrations.migrate(old)
    old.migrations.append([{"number": CURRENT + 1, "name": "later", "direction": "up"}])
    for work in (migrations.ensure_current, migrations.migrate):
        with pytest.raises(WrongSchema, match=f"columns of migration {CURRENT + 1}"):
            work(old)


def test_a_number_that_does_not_exist_is_refused(old: Store) -> None:
    with pytest.raises(WrongSchema, match=f"0 to {CURRENT}"):
        migrations.migrate(old, CURRENT + 1)
    assert migrations.state(old) == 0


_KILLED = """
import os, signal, sys
from pipelines.store import Store
from pipelines.tables import changes, columns, migrations
left = int(sys.argv[2])
def dying(*args, inner=columns.rewrite, **how):
    global left
    inner(*args, **how)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
changes.rewrite = columns.rewrite = dying
migrations.migrate(Store(sys.argv[1]), int(sys.argv[3]))
"""


@pytest.mark.parametrize("commits", [1, 3])
def test_a_killed_migration_ends_well_when_run_again(old: Store, commits: int) -> None:
    def killed(to: int) -> None:
        command = [sys.executable, "-c", _KILLED, old.root, str(commits), str(to)]
        assert subprocess.run(command, env=os.environ).returncode == -signal.SIGKILL

    killed(1)
    assert migrations.state(old) == 0
    assert migrations.migrate(old) == UP
    assert migrations.diff(old) == []
    up = {name: stored_rows(old, name, key) for name, key in KEYS.items()}
    killed(0)
    assert migrations.state(old) == (CURRENT if commits == 1 else CURRENT - 2)
    migrations.migrate(old, 0)
    migrations.migrate(old)
    again = {name: stored_rows(old, name, key) for name, key in KEYS.items()}
    assert again == up


def test_sound_and_video_of_an_older_home_are_read_again_and_its_vectors_stay(old: Store) -> None:
    migrations.migrate(old, 1)
    clip = item("clip") | {"kind": "audio"}
    clip["origins"] = [origin | {"fingerprint": "7:1"} for origin in clip["origins"]]
    photo = item("photo") | {"kind": "image", "origins": clip["origins"]}
    of_one = pa.schema(DeltaTable(old.items.uri).schema())
    write_deltalake(old.items.uri, pa.Table.from_pylist([clip, photo], of_one), mode="append")
    key = pa.field("key", pa.string(), nullable=False)
    schema = pa.schema([key, ("size", pa.int64()), ("vector", pa.list_(pa.float32(), 4))])
    SearchTable(old.search_root, "visual_x", schema).upsert([{"key": "a", "vector": [1, 0, 0, 0]}])
    migrations.migrate(old)
    marks = {
        row["item_id"]: row["origins"][0]["fingerprint"]
        for row in old.items.rows()
        if row["item_id"] in {"clip", "photo"}
    }
    assert marks == {"clip": "", "photo": "7:1"}
    table = old.database.open_table("visual_x")
    assert {"duration_s", "modalities"} <= set(table.schema.names)
    assert table.search([1.0, 0, 0, 0]).to_list()[0]["modalities"] is None
    migrations.migrate(old, 1)
    assert old.database.open_table("visual_x").schema.names == ["key", "size", "vector"]


def test_groups_that_were_a_key_of_their_own_become_a_column_and_the_way_back(old: Store) -> None:
    migrations.migrate(old, 2)
    said = {
        "text": '{"access": " press,sales,press", "price": 3}',
        "list": '{"access": ["press"]}',
        "wrong": '{"access": {"press": 1}}',
        "blank": '{"access": " , "}',
        "other": '{"price": 3, "accessible": true}',
    }
    rows = [item(name) | {"extra": extra, "attributes_hash": "h"} for name, extra in said.items()]
    rows += [item("lost", deleted=True) | {"extra": said["list"]}]
    of_two = pa.schema(DeltaTable(old.items.uri).schema())
    write_deltalake(old.items.uri, pa.Table.from_pylist(rows, of_two), mode="append")
    migrations.migrate(old)
    items = {row["item_id"]: row for row in old.items.rows()}
    assert {name: row["access"] for name, row in items.items()} == {
        **dict.fromkeys(("a", "b", "gone", "blank", "other")),
        "text": ["press", "sales"],
        "list": ["press"],
        "wrong": ['{"press": 1}'],
        "lost": ["press"],
    }
    assert items["text"]["extra"] == '{"price": 3}' and items["list"]["extra"] is None
    assert items["other"]["extra"] == said["other"] and items["other"]["attributes_hash"] == "h"
    assert items["lost"]["attributes_hash"] is None
    for name in ("text", "list", "wrong"):
        assert items[name]["attributes_hash"] == attributes_of(items[name]).key
    migrations.migrate(old, 2)
    back = {row["item_id"]: row for row in stored_rows(old, "items", "item_id")}
    assert back["text"]["extra"] == '{"access": ["press", "sales"], "price": 3}'
    assert back["lost"]["extra"] == said["list"] and back["other"]["extra"] == said["other"]
    migrations.migrate(old)
    again = {row["item_id"]: row["access"] for row in old.items.rows()}
    assert again == {name: row["access"] for name, row in items.items()}


def test_groups_of_a_home_reach_what_is_searched_and_no_vector_is_made_again(
    tmp_path: Path, home: Any
) -> None:
    project = Project(tmp_path / "project")
    for name in ("open", "closed"):
        (project.raw / f"{name}.txt").write_text(f"The {name} letter.")
    closed = '{"file_name": "closed.txt", "item_id": "closed", "title": "A letter", "access": %s}'
    project.describe(closed % '["press"]')
    project.index(Models(pii=home.detector))
    names = project.store.search_tables()
    assert groups_searched(project, names) == {None, ("press",)}

    migrations.migrate(project.store, 2)
    with pytest.raises(ValueError, match="access"):
        groups_searched(project, names)
    migrations.migrate(project.store)
    assert groups_searched(project, names) == {None}
    for access in ('"press"', '"sales,press"'):
        project.describe(closed % access)
        models = Models(pii=home.detector)
        reports = project.index(models)
        assert not models.text.seen and not any(report.encoded for report in reports.values())
        assert any(report.refreshed for report in reports.values())
        assert groups_searched(project, names) == {None, tuple(sorted(access[1:-1].split(",")))}


def groups_searched(project: Project, names: list[str]) -> set[tuple[str, ...] | None]:
    tables = [project.store.database.open_table(name) for name in names]
    rows = [row for table in tables for row in table.search().select(["access"]).to_list()]
    return {row["access"] and tuple(row["access"]) for row in rows}


def test_what_delta_helpers_cost(tmp_path: Path) -> None:
    schema = pa.schema([("key", pa.string()), ("value", pa.int64())])
    table = FactTable(str(tmp_path / "t"), schema)
    table.append([{"key": "a", "value": 1}, {"key": "b", "value": None}])

    def files() -> set[str]:
        return set(DeltaTable(table.uri).file_uris())

    before = files()
    columns.add_columns(table, pa.field("note", pa.string()), pa.field("key", pa.string()))
    columns.add_columns(table, pa.field("note", pa.string()))
    assert files() == before and table.version == 1
    columns.rename_columns(table, {"value": "number"})
    columns.drop_columns(table, ["note", "absent"])
    assert not files() & before and table.version == 3
    assert columns.stored(table) == pa.schema([("key", pa.string()), ("number", pa.int64())])
    renamed = FactTable(table.uri, pa.schema([("key", pa.string()), ("number", pa.int64())]))
    rows = sorted(renamed.rows(), key=lambda row: row["key"])
    assert rows == [{"key": "a", "number": 1}, {"key": "b", "number": None}]


def test_searched_tables_change_beside_their_vectors_and_old_versions_stay(tmp_path: Path) -> None:
    key = pa.field("key", pa.string(), nullable=False)
    schema = pa.schema([key, ("size", pa.int64()), ("vector", pa.list_(pa.float32(), 4))])
    search = SearchTable(str(tmp_path), "visual", schema)
    search.upsert([{"key": str(n), "size": n, "vector": [n, 1, 0, 0]} for n in range(3)])
    table = search.open()
    assert table is not None
    table.tags.create("r000001", table.version)
    folder = tmp_path / "visual.lance" / "data"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    added = (pa.field("large", pa.float64()), pa.field("marks", pa.list_(pa.string())))
    columns.add_searched(table, *added, pa.field("size", pa.int64()))
    columns.add_searched(table, *added)
    columns.rename_searched(table, {"size": "bytes", "absent": "x"})
    assert before.items() <= {path.name: path.read_bytes() for path in folder.iterdir()}.items()
    assert table.schema.names == ["key", "bytes", "vector", "large", "marks"]
    found = table.search([1.0, 1, 0, 0]).where("large IS NULL AND bytes = 2").limit(1).to_list()
    assert [row["key"] for row in found] == ["2"]
    columns.drop_searched(table, ["large", "marks", "absent"])
    assert table.schema.names == ["key", "bytes", "vector"]

    table.checkout("r000001")
    assert table.schema.names == ["key", "size", "vector"]
    assert table.search([1.0, 1, 0, 0]).where("size = 2").to_list()[0]["key"] == "2"
    with pytest.raises((ValueError, RuntimeError), match="large"):
        table.search([1.0, 1, 0, 0]).where("large = 1").to_list()

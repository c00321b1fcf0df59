import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.models.protocols import Identity
from pipelines.store import Store
from pipelines.tables.schemas import vector_schema
from pipelines.tables.vectors import HEAD, SearchTable, retried


@pytest.fixture
def table(tmp_path: Path) -> SearchTable:
    return SearchTable(str(tmp_path / "lance"), "visual", vector_schema(4))


def row(key: str, batch: str = "a", value: float = 0.0, **columns: Any) -> dict[str, Any]:
    vector = np.full(4, value, dtype=np.float32)
    return {"key": key, "item_id": key, "batch": batch, "vector": vector, "recipe": "r", **columns}


def keys(table: SearchTable, batch: str | None = None) -> list[str]:
    return sorted(row["key"] for row in table.rows(["key"], batch))


def test_a_table_never_written_is_empty(table: SearchTable) -> None:
    assert table.open() is None
    assert table.rows(["key"]) == [] and table.vectors(["a"]) == {}
    table.remove(["a"])
    table.upsert([])
    assert table.open() is None


def test_upsert_replaces_rows_by_key(table: SearchTable) -> None:
    table.upsert([row("1", value=1), row("2", value=2)])
    table.upsert([row("2", value=3), row("3", value=4)])
    assert keys(table) == ["1", "2", "3"]
    assert {key: vector[0] for key, vector in table.vectors(["2", "3", "4"]).items()} == {
        "2": 3,
        "3": 4,
    }


def test_an_upsert_is_one_commit(table: SearchTable) -> None:
    table.upsert([row("1")])
    before = table.open().version  # type: ignore[union-attr]
    table.upsert([row("1"), row("2")])
    assert table.open().version == before + 1  # type: ignore[union-attr]


def test_all_rows_are_read_however_many(table: SearchTable) -> None:
    table.upsert([row(str(n), "a" if n % 2 else "b") for n in range(100)])
    assert len(keys(table)) == 100 and len(keys(table, "a")) == 50
    assert len(table.vectors(map(str, range(100)))) == 100


@pytest.mark.parametrize("key", ["it's", 'a "b"', "a\\b", "%", "new\nline", "é 🫖", "; --"])
def test_odd_keys_are_found_and_removed(table: SearchTable, key: str) -> None:
    table.upsert([row(key, batch=key), row("other")])
    table.upsert([row(key, batch=key, value=1)])
    assert keys(table, key) == [key]
    assert table.vectors([key])[key] == [1, 1, 1, 1]
    table.remove([key, "absent"])
    assert keys(table) == ["other"]


def test_any_metadata_comes_back_as_it_was(table: SearchTable) -> None:
    extra = json.dumps({"season": 3, "name": "it's é", "nested": '{"a": [1]}'}, sort_keys=True)
    table.upsert([row("1", extra=extra, tags=["red", "b c"]), row("2")])
    stored = {row["key"]: row for row in table.rows(["key", "extra", "tags"])}
    assert json.loads(stored["1"]["extra"]) == json.loads(extra)
    assert stored["1"]["tags"] == ["red", "b c"]
    assert stored["2"]["extra"] is None and stored["2"]["tags"] is None


def test_each_encoder_has_a_table_of_its_own(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    one, two = [Identity("m", revision, "", "", 4, "") for revision in "12"]
    store.channel("visual", one).upsert([row("1")])
    assert store.channel("visual", two).rows(["key"]) == []
    assert store.channel("visual", one).rows(["key"]) == [{"key": "1"}]


def test_columns_are_read_as_arrow(table: SearchTable) -> None:
    assert table.read(["key", "page"]).schema.names == ["key", "page"]
    table.upsert([row("1", "a"), row("2", "b")])
    assert table.read(["key"], "batch = 'b'")["key"].to_pylist() == ["2"]


# --- Writers side by side ------------------------------------------------------------------------

_ROUNDS = 6


def write(uri: str, writer: int) -> None:
    """Upsert keys that all writers share and own ones, remove some, and compact in between."""
    table = SearchTable(uri, "visual", vector_schema(4))
    for number in range(_ROUNDS):
        shared = [f"s{key}" for key in range(number, number + 6)]
        own = [f"w{writer}-{number}-{key}" for key in range(4)]
        table.upsert([row(key, value=writer) for key in shared + own])
        if number % 3 == 1:
            table.remove(own[:2])
        if number % 4 == writer:
            opened = table.open(write=True)
            assert opened is not None
            retried(opened, opened.optimize)


def expected_keys(writers: int) -> list[str]:
    own = [
        f"w{writer}-{number}-{key}"
        for writer in range(writers)
        for number in range(_ROUNDS)
        for key in range(2 if number % 3 == 1 else 0, 4)
    ]
    return sorted([*own, *(f"s{key}" for key in range(_ROUNDS + 5))])


@pytest.mark.slow
def test_processes_that_begin_with_no_table_lose_and_double_nothing(table: SearchTable) -> None:
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=spawned) as pool:
        list(pool.map(write, [table.uri] * 4, range(4)))
    assert keys(table) == expected_keys(4)


# --- While a purge rewrites older versions -------------------------------------------------------


def rewriting(table: SearchTable, old: Sequence[str], new: Sequence[str]) -> None:
    """Leave a table as a purge has it that was killed: an old version lies on top."""
    table.upsert([row(key) for key in old])
    opened = table.open()
    assert opened is not None
    version = opened.version
    table.upsert([row(key) for key in new])
    opened.checkout_latest()
    opened.tags.create(HEAD, opened.version)
    opened.restore(version)


def test_the_newest_content_is_read_though_an_older_version_lies_on_top(
    table: SearchTable,
) -> None:
    rewriting(table, ["1"], ["2"])
    assert keys(table) == ["1", "2"] and set(table.vectors(["1", "2"])) == {"1", "2"}
    opened = table.open()
    assert opened is not None
    with pytest.raises(ValueError, match="checked out"):
        opened.delete("key = '1'")
    assert keys(table) == ["1", "2"]


def test_the_first_writer_puts_the_newest_content_on_top_again(table: SearchTable) -> None:
    rewriting(table, ["1"], ["2", "3"])
    table.remove(["2"])
    table.upsert([row("4")])
    assert keys(table) == ["1", "3", "4"]
    opened = table.open()
    assert opened is not None and HEAD not in opened.tags.list()

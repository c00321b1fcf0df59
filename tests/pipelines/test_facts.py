import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError

from pipelines.tables.facts import FactTable, equals_any, quoted

SCHEMA = pa.schema([("batch", pa.string()), ("value", pa.string())])

ODD = [
    "it's",
    'a "b"',
    "a\\b",
    "\\'",
    "new\nline",
    "%_",
    "--",
    "; DROP TABLE facts",
    "é 🫖",
    " ",
    "",
]


@pytest.fixture
def table(tmp_path: Path) -> FactTable:
    return FactTable(str(tmp_path / "t"), SCHEMA)


def row(batch: str, value: str = "x") -> dict[str, str]:
    return {"batch": batch, "value": value}


def content(table: FactTable) -> list[tuple[str, str]]:
    return sorted((row["batch"], row["value"]) for row in table.rows())


def test_a_table_never_written_is_empty(table: FactTable) -> None:
    assert table.version is None
    assert table.rows() == []
    assert table.read(["value"], "batch = 'a'").schema == pa.schema([SCHEMA.field("value")])
    table.replace("batch = 'a'", [])
    assert table.version is None


def test_appending_nothing_commits_nothing(table: FactTable) -> None:
    table.append([row("a")])
    table.append([])
    assert table.version == 0


def test_replace_puts_rows_in_the_place_of_those_that_match(table: FactTable) -> None:
    table.append([row("a", "1"), row("a", "2"), row("b", "3")])
    table.replace("batch = 'a'", [row("a", "4")])
    assert content(table) == [("a", "4"), ("b", "3")]
    assert table.version == 1
    table.replace("batch = 'a'", [])
    assert content(table) == [("b", "3")]
    assert len(table.read(version=0)) == 3


def test_only_the_newest_version_is_where_a_table_stands(table: FactTable) -> None:
    assert table.stands_at(None) and not table.stands_at(0)
    for version in range(12):
        table.append([row("a")])
        stands = [table.stands_at(each) for each in (None, *range(14))]
        assert stands == [False, *(each == version for each in range(14))]
    shutil.rmtree(table.uri)
    assert table.stands_at(None) and not table.stands_at(11)
    far = FactTable("s3://bucket/t", SCHEMA)
    assert not far.stands_at(None) and not far.stands_at(0)


def test_rows_that_do_not_match_what_they_replace_are_refused(table: FactTable) -> None:
    table.append([row("a")])
    with pytest.raises(DeltaError):
        table.replace("batch = 'a'", [row("b")])
    assert content(table) == [("a", "x")]


@pytest.mark.parametrize("value", ODD)
def test_odd_values_find_themselves_only(table: FactTable, value: str) -> None:
    table.append([row("a", other) for other in ODD])
    assert table.rows(["value"], f"value = {quoted(value)}") == [{"value": value}]
    table.replace(equals_any("value", [value]), [row("b", value)])
    assert table.rows(where="batch = 'b'") == [row("b", value)]
    table.replace(f"value = {quoted(value)}", [])
    assert [entry["value"] for entry in table.rows()].count(value) == 0
    assert len(table.rows()) == len(ODD) - 1


def test_equal_to_none_of_no_values(table: FactTable) -> None:
    table.append([row("a")])
    assert table.rows(where=equals_any("value", [])) == []


# --- Writers side by side ------------------------------------------------------------------------


def write_batches(uri: str, writer: int) -> None:
    table = FactTable(uri, SCHEMA)
    for number in range(4):
        batch = f"{writer}-{number}"
        table.replace(f"batch = {quoted(batch)}", [row(batch, "old")])
        table.replace(f"batch = {quoted(batch)}", [row(batch, "new")])


def expected(writers: int) -> list[tuple[str, str]]:
    return sorted((f"{writer}-{number}", "new") for writer in range(writers) for number in range(4))


def test_writers_of_different_batches_lose_nothing(table: FactTable) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_batches, [table.uri] * 4, range(4)))
    assert content(table) == expected(4)


@pytest.mark.slow
def test_processes_that_write_different_batches_lose_nothing(table: FactTable) -> None:
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=spawned) as pool:
        list(pool.map(write_batches, [table.uri] * 4, range(4)))
    assert content(table) == expected(4)


def test_a_replacement_that_fails_leaves_the_rows(
    table: FactTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.append([row("a", "old")])

    def full(*args: object, **how: object) -> Callable[[], None]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipelines.tables.facts.write_deltalake", full)
    with pytest.raises(OSError, match="No space"):
        table.replace("batch = 'a'", [row("a", "new")])
    assert content(table) == [("a", "old")]

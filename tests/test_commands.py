"""Commands over a small stocked home, in this process: what they print, for people and as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
import toy
from typer.testing import CliRunner

from cli import app
from pipelines.errors import MediadexError
from pipelines.releases.publish import publish
from pipelines.settings import load_settings
from pipelines.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two releases of a few items."""
    store, settings = Store(str(tmp_path)), load_settings(tmp_path)
    for count in (3, 5):
        toy.fill(store, range(count))
        publish(store, toy.CHOICES, settings)
    return tmp_path


def run(home: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    if result.exception:
        raise result.exception
    return result.stdout


def told(home: Path, *arguments: str) -> Any:
    return json.loads(run(home, *arguments, "--json"))


def test_releases_are_listed_compared_and_switched(home: Path) -> None:
    states = {row["release"]: row["state"] for row in told(home, "releases")}
    assert states == {"r000002": "serving", "r000001": "superseded"}
    assert "r000002" in run(home, "releases")
    added = told(home, "releases", "diff", "r000001", "r000002")["items"]["added"]
    assert added["count"] == 2
    assert "items added    2" in run(home, "releases", "diff", "r000001", "r000002")
    assert run(home, "rollback") == "r000001 serves\n"
    assert told(home, "promote", "r000002")["release"] == "r000002"
    assert told(home, "rollback", "r000001") == {"release": "r000001"}
    assert "coverage" in run(home, "promote", "r000002")
    with pytest.raises(MediadexError, match="r000009"):
        run(home, "promote", "r000009")


def test_plans_name_what_is_missing(home: Path) -> None:
    with pytest.raises(MediadexError, match="there is no such plan"):
        run(home, "plan", "--compare", "last")
    with pytest.raises(MediadexError, match="there is no channel 'smell'"):
        run(home, "plan", "--channel", "smell")
    with pytest.raises(MediadexError, match="there is no batch 'x'"):
        run(home, "plan", "--batches", "x..")
    assert run(home, "plan", "--channel", "ocr") == "there is nothing to do\n"
    assert told(home, "plan", "--compare", "last")["scope"]["steps"] == ["ocr_embeddings"]


def test_the_state_is_told(home: Path) -> None:
    state = told(home, "status")
    assert state["release"] == "r000002" and state["items"]["total"] == 8
    assert "release   r000002" in run(home, "status")
    assert told(home, "status", "--failed") == []


def test_snapshots_are_taken_listed_and_restored(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path_factory.mktemp("place")
    monkeypatch.setenv("MEDIADEX_SNAPSHOTS", str(place))
    taken = told(home, "snapshot")["snapshot"]
    assert [row["snapshot"] for row in told(home, "snapshots")] == [taken]
    assert taken in run(home, "snapshots")
    other = tmp_path_factory.mktemp("other")
    assert told(other, "restore")["rows"]["items"] == 8
    assert [row["release"] for row in told(other, "releases")] == ["r000002", "r000001"]


def test_migrations_are_told_and_nothing_is_done_where_none_is_due(home: Path) -> None:
    report = told(home, "migrate", "--dry-run")
    assert report["at"] == report["newest"] and report["pending"] == report["done"] == []

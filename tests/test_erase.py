"""Erasing through the command and through Dagster, on a home without models."""

import json
from pathlib import Path

import dagster as dg
import pytest
import stocked
from typer.testing import CliRunner

from assets.erasure import erasures
from cli import app
from pipelines.errors import MediadexError
from pipelines.settings import Settings
from pipelines.store import Store
from resources.home import HomeResource
from sensors.launch import prepare_home

PICTURE = "![contact sheet](data:image/jpeg;base64,c2VjcmV0IHBpY3R1cmU=)"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Both are set for the process; what they were comes back.
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("MEDIADEX_HOME", "")
    settings = Settings(home=tmp_path)
    store = Store(settings.root)
    stocked.stock(store, range(25))
    stocked.release(store, settings)
    prepare_home(settings)
    with dg.DagsterInstance.get() as instance:
        sheet = {"contact_sheet": dg.MetadataValue.md(PICTURE)}
        told = dg.AssetMaterialization("redacted_media", partition=stocked.batch(3), metadata=sheet)
        instance.report_runless_asset_event(told)
    return tmp_path


def run(home: Path, *arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["erase", *arguments, "--home", str(home), "--json"])
    if result.exception:
        raise result.exception
    return json.loads(result.stdout)


def sheets(home: Path) -> list[str]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return [path.name for path in files if b"c2VjcmV0IHBpY3R1cmU" in path.read_bytes()]


def test_the_command_hides_at_once_and_removes_later_or_at_once(home: Path) -> None:
    assert sheets(home)
    report = run(home, "--owner", "Ada", "--later")
    assert report == {
        "erased": sorted(stocked.item_id(number) for number in (3, 13, 23)),
        "waiting": 3,
        "proof": None,
        "dropped": [],
    }
    assert stocked.traces(home, 3)
    report = run(home, stocked.item_id(4), "--reason", "asked to")
    assert report["erased"] == [stocked.item_id(4)] and report["waiting"] == 0
    assert isinstance(report["proof"], dict)
    assert report["proof"]["found"] == 0 and len(report["proof"]["items"]) == 4
    assert "dagster" in report["proof"]["searched"]
    for number in (3, 4, 13, 23):
        assert stocked.traces(home, number) == {}
    assert sheets(home) == []
    assert run(home) == {"erased": [], "waiting": 0, "proof": None, "dropped": []}


def test_an_unknown_id_is_told_and_nothing_is_erased(home: Path) -> None:
    with pytest.raises(MediadexError, match="nobody"):
        run(home, stocked.item_id(4), "nobody")
    assert run(home)["waiting"] == 0


def test_the_asset_purges_what_waits_and_shows_the_proof(home: Path) -> None:
    run(home, stocked.item_id(3), "--later")
    with dg.DagsterInstance.get() as instance:
        result = dg.materialize(
            [erasures], instance=instance, resources={"home": HomeResource(home=str(home))}
        )
    metadata = result.asset_materializations_for_node("erasures")[0].metadata
    assert metadata["purged"].value == 1 and metadata["waiting"].value == 0
    assert metadata["found"].value == 0
    assert Path(str(metadata["proof"].value)).exists()
    assert stocked.traces(home, 3) == {}

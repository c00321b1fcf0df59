"""The assets of disaster recovery, run as the UI runs them."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from toy import fill

from assets import disaster
from pipelines import snapshots
from pipelines.settings import load_settings
from pipelines.store import Store
from resources.home import HomeResource


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home"
    fill(Store(str(path)), range(5))
    monkeypatch.setenv("MEDIADEX_SNAPSHOTS", str(tmp_path / "kept"))
    return path


def run(asset: dg.AssetsDefinition, home: Path) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [asset], resources={"home": HomeResource(home=str(home))}, raise_on_error=False
    )


def numbers(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_a_snapshot_and_its_drill_tell_their_numbers(home: Path) -> None:
    taken = numbers(run(disaster.snapshot, home))
    assert taken["rows_items"] == taken["rows_passages"] == 5
    assert taken["files"] > 0 and taken["gib_read"] == taken["gib"] > 0
    assert taken["snapshots_removed"] == 0
    again = numbers(run(disaster.snapshot, home))
    assert again["gib_read"] == 0 and again["gib"] == taken["gib"]
    tried = numbers(run(disaster.restore_drill, home))
    assert tried["snapshot"] == again["snapshot"] > taken["snapshot"]
    assert tried["rows_compared"] >= 15 and tried["queries_asked"] == 3
    assert tried["gib_per_second"] > 0


def test_a_drill_that_fails_names_the_file(home: Path, tmp_path: Path) -> None:
    run(disaster.snapshot, home)
    kept = snapshots.listed(load_settings(home))[-1]
    digest = next(iter(kept.files.values())).digest
    (tmp_path / "kept" / "files" / digest[:2] / digest).write_bytes(b"damaged")
    result = run(disaster.restore_drill, home)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert digest in failure.step_failure_data.user_failure_data.description


@pytest.mark.parametrize("asset", [disaster.snapshot, disaster.restore_drill])
def test_without_a_place_nothing_is_done(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asset: dg.AssetsDefinition
) -> None:
    monkeypatch.setenv("MEDIADEX_SNAPSHOTS", "")
    result = run(asset, home)
    assert result.success and result.get_asset_materialization_events() == []
    assert not (tmp_path / "kept").exists()

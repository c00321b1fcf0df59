"""Upkeep as an asset: one run does it all in order, and its checks tell when that is not enough."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import toy
from homes import QUIET, Home

from assets import upkeep as house
from assets.common import batches
from assets.erasure import erasures
from pipelines import ledger
from pipelines.outcomes import now
from pipelines.releases.publish import publish
from pipelines.upkeep import survey
from resources.home import HomeResource

PICTURE = base64.b64encode(b"contact sheet of batch b" * 60).decode()
DONE = ("expired", "purged", "blobs_removed", "rows_removed", "tables_dropped")


@dg.asset(partitions_def=batches)
def redacted(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    sheet = f"![contact sheet](data:image/jpeg;base64,{PICTURE})"
    return dg.MaterializeResult(metadata={"contact_sheet": dg.MetadataValue.md(sheet)})


class Models:
    """What the settings would choose."""

    def encoders(self) -> dict[str, Any]:
        return toy.CHOICES


@pytest.fixture
def home(open_home: Callable[..., Home], monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("MEDIADEX_TTL_DAYS", '{"s3://news": 30}')
    monkeypatch.setenv("MEDIADEX_KEEP_EVENT_DAYS", "0")
    monkeypatch.setenv("MEDIADEX_KEEP_DAYS", "0")
    monkeypatch.setattr(HomeResource, "models", lambda self: Models())
    opened = open_home()
    with opened.instance:
        yield opened


def run(home: Home, *assets: Any, partition: str | None = None) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*assets],
        instance=home.instance,
        resources={"home": HomeResource()},
        partition_key=partition,
        run_config=QUIET,
    )


def upkeep(home: Home) -> tuple[dict[str, Any], dict[str, dg.AssetCheckEvaluation]]:
    """Run upkeep with its checks; returns its metadata and the checks by name."""
    result = run(home, erasures, house.upkeep, *house.checks)
    numbers = {
        name: value.value
        for node in ("erasures", "upkeep")
        for event in result.asset_materializations_for_node(node)
        for name, value in event.metadata.items()
    }
    return numbers, {each.check_name: each for each in result.get_asset_check_evaluations()}


def checked(home: Home) -> dict[str, dg.AssetCheckEvaluation]:
    """Run the checks alone."""
    defs = dg.Definitions(
        [house.upkeep], asset_checks=house.checks, resources={"home": HomeResource()}
    )
    keys = defs.resolve_asset_graph().asset_check_keys
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection=keys)
    result = job.execute_in_process(instance=home.instance, run_config=QUIET)
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def release(home: Home) -> None:
    publish(home.store, toy.CHOICES, home.settings.model_copy(update={"index_rows": 300}))


def holding(folder: Path, text: str) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]


def test_one_run_expires_purges_tidies_and_prunes(home: Home) -> None:
    toy.fill(home.store, range(400))
    origin = {"uri": "s3://news/storm-7.png", "source": "s3://news", "file_name": "storm-7.png"}
    old = {"item_id": "item-0007", "batch": "b", "kind": "image", "origins": [origin]}
    old |= {"deleted": False, "content_hash": "f" * 32, "published_at": "2020-01-01"}
    home.store.items.replace("item_id = 'item-0007'", [old | {"updated_at": now()}])
    release(home)
    toy.fill(home.store, range(400, 440))
    home.instance.add_dynamic_partitions("batches", ["b", "c"])
    for partition in ("b", "c"):
        run(home, redacted, partition=partition)
    assert holding(home.path, PICTURE) and holding(home.path / "lance", "item-0007")

    numbers, checks = upkeep(home)
    assert {name: numbers[name] for name in ("expired", "purged")} == {"expired": 1, "purged": 1}
    assert numbers["unindexed_rows"] == 0 and numbers["events_removed"] > 0
    assert numbers["total_bytes"] > numbers["bytes_lance"] > 0
    tables = {record.data["table"]: record.data for record in numbers["survey"].records}
    assert tables["passages"]["rows"] == 439 and tables["passages"]["unindexed"] == 0
    assert {name: each.passed for name, each in checks.items()} == {
        "disk": True,
        "index_coverage": True,
        "versions": True,
    }
    assert ledger.pending(home.store) == []
    assert holding(home.path / "lance", "item-0007") == []
    # The sheet of batch c is the same picture, but another one's.
    sheets = {
        record.partition_key: record.asset_materialization.metadata["contact_sheet"].value
        for record in home.instance.fetch_materializations(redacted.key, limit=9).records
        if record.asset_materialization
    }
    assert PICTURE not in str(sheets["b"]) and PICTURE in str(sheets["c"])
    assert home.instance.get_materialized_partitions(redacted.key) == {"b", "c"}

    again, _ = upkeep(home)
    assert {name: again[name] for name in DONE} == dict.fromkeys(DONE, 0)
    assert again["rows"] == numbers["rows"] and again["versions"] <= numbers["versions"]


def test_unindexed_rows_are_a_warning(home: Home) -> None:
    toy.fill(home.store, range(400))
    release(home)
    toy.fill(home.store, range(400, 430))
    assert not checked(home)["index_coverage"].passed
    assert checked(home)["index_coverage"].metadata["unindexed_rows"].value == 60
    upkeep(home)
    assert checked(home)["index_coverage"].passed
    toy.fill(home.store, range(430, 435))
    found = checked(home)["index_coverage"]
    assert found.passed and 0 < found.metadata["unindexed_share"].value < 0.05


def test_versions_that_stay_for_nothing_are_a_warning(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.fill(home.store, range(5))
    toy.fill(home.store, range(5, 9))
    assert checked(home)["versions"].passed
    monkeypatch.setattr(survey, "_A_DAY", survey._A_DAY * 0)
    found = checked(home)["versions"]
    assert not found.passed and found.severity is dg.AssetCheckSeverity.WARN
    assert found.metadata["stale"].value > 0 and "passages" in (found.description or "")
    upkeep(home)
    assert checked(home)["versions"].passed


def test_bytes_that_outgrow_rows_are_a_warning(home: Home) -> None:
    assert checked(home)["disk"].passed
    grown = []
    for mebibytes, rows in ((300, 100), (400, 100), (900, 100), (900, 600)):
        numbers = {"total_bytes": mebibytes << 20, "rows": rows}
        event = dg.AssetMaterialization("upkeep", metadata=numbers)
        home.instance.report_runless_asset_event(event)
        disk = checked(home)["disk"]
        grown.append((disk.passed, round(float(disk.metadata["factor"].value), 2)))  # type: ignore[arg-type]
    assert grown == [(True, 1.0), (True, 1.33), (False, 3.0), (True, 0.5)]


def test_a_missing_night_is_told_by_the_freshness_policy() -> None:
    policy = house.upkeep.specs_by_key[dg.AssetKey("upkeep")].freshness_policy
    assert isinstance(policy, dg.FreshnessPolicy)
    assert policy.fail_window.to_timedelta().total_seconds() == 36 * 3600  # type: ignore[attr-defined]

"""Dagster's own logs on SQLite: what pruning and scrubbing take away, and what must stay."""

import base64
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import Field

from resources.event_store import EventStoreBusy, prune, scrub_previews, scrub_runs

batches = dg.DynamicPartitionsDefinition(name="batches")
PICTURES = {name: base64.b64encode(name.encode() * 900).decode() for name in ("b1", "b2", "b3")}
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Note(dg.Config):
    """What a run was told."""

    names: list[str] = Field([])


@dg.asset(partitions_def=batches, backfill_policy=dg.BackfillPolicy.single_run(), code_version="1")
def pictured(context: dg.AssetExecutionContext, config: Note) -> None:
    for number in range(40):
        context.log.info("looking at picture %d of these %s", number, "words " * 20)
    for batch in context.partition_keys:
        sheet = f"1 of 1\n\n![pictures](data:image/jpeg;base64,{PICTURES[batch]})"
        words = f"1 of 1\n\n```spoken\n0:00 said in {batch} by the ferry\n```"
        metadata = {
            "rows": 3,
            "contact_sheet": dg.MetadataValue.md(sheet),
            "spoken": dg.MetadataValue.md(words),
        }
        context.add_asset_metadata(metadata, partition_key=batch)


@dg.asset_check(asset=pictured)
def looked(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, metadata={"rows": 3})


@dg.job
def _waiting() -> None:
    pass


class Logs:
    """An instance on SQLite files, and runs in it."""

    def __init__(self, path: Path):
        self.path = path
        self.instance = dg.DagsterInstance.local_temp(
            str(path), overrides={"telemetry": {"enabled": False}}
        )
        self.instance.add_dynamic_partitions("batches", list(PICTURES))
        defs = dg.Definitions([pictured], asset_checks=[looked])
        self._job = defs.resolve_implicit_global_asset_job_def()

    def run(self, first: str, last: str, names: tuple[str, ...] = ()) -> str:
        config: dict[str, Any] = {"ops": {"pictured": {"config": {"names": list(names)}}}}
        tags = dict(zip(RANGE, (first, last), strict=True))
        return self._job.execute_in_process(
            instance=self.instance, run_config=QUIET | config, tags=tags
        ).run_id

    def kinds(self, run_id: str) -> set[str | None]:
        events = self.instance.all_logs(run_id)
        return {event.dagster_event_type and event.dagster_event_type.value for event in events}

    def holding(self, text: str) -> list[str]:
        files = [path for path in self.path.rglob("*") if path.is_file()]
        return sorted(path.name for path in files if text.encode() in path.read_bytes())

    def size(self, run_id: str) -> int:
        return (self.path / "history" / "runs" / f"{run_id}.db").stat().st_size


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    opened = Logs(tmp_path)
    with opened.instance:
        yield opened


def facts(logs: Logs) -> dict[str, Any]:
    """All that automation, staleness and the pages of an asset go by."""
    instance, key = logs.instance, pictured.key
    instance.wipe_asset_cached_status([key])
    status = instance.get_status_by_partition(key, list(PICTURES), batches)
    checks = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(key, "looked"), 10
    )
    return {
        "partitions": instance.get_materialized_partitions(key),
        "status": {name: found and found.name for name, found in (status or {}).items()},
        "tags": [
            (record.storage_id, record.partition_key, record.asset_materialization.tags)
            for record in instance.fetch_materializations(key, limit=50).records
            if record.asset_materialization
        ],
        "latest": instance.get_latest_materialization_event(key).run_id,  # type: ignore[union-attr]
        "checks": [(record.run_id, record.status, record.event is not None) for record in checks],
        "runs": [(run.run_id, run.status) for run in instance.get_runs()],
    }


def test_old_runs_lose_their_steps_but_nothing_of_their_assets(logs: Logs) -> None:
    first, second = logs.run("b1", "b2"), logs.run("b3", "b3")
    captured = logs.path / "storage" / first
    assert captured.exists()
    before, size, steps = facts(logs), logs.size(first), logs.kinds(first)
    assert {"STEP_SUCCESS", "STEP_OUTPUT", None} <= steps

    pruned = prune(logs.instance, days=0)
    assert pruned["runs"] == 2 and pruned["events"] > 80
    assert facts(logs) == before
    assert logs.kinds(first) == {
        "ASSET_CHECK_EVALUATION",
        "ASSET_CHECK_EVALUATION_PLANNED",
        "ASSET_MATERIALIZATION",
        "ASSET_MATERIALIZATION_PLANNED",
        "PIPELINE_START",
        "PIPELINE_SUCCESS",
    }
    assert logs.size(first) < size and pruned["bytes"] >= size - logs.size(first) > 0
    assert not captured.exists()
    stats = logs.instance.get_run_stats(second)
    assert stats.end_time and stats.materializations == 1
    assert prune(logs.instance, days=0) == {"runs": 0, "events": 0, "bytes": 0}


def test_young_and_unfinished_runs_keep_their_logs(logs: Logs) -> None:
    young = logs.run("b1", "b1")
    kinds = logs.kinds(young)
    assert prune(logs.instance, days=1)["runs"] == 0
    running = logs.instance.create_run_for_job(_waiting)
    logs.instance.report_engine_event("on its way", running)
    assert prune(logs.instance, days=0)["runs"] == 1
    assert logs.kinds(young) < kinds
    assert logs.kinds(running.run_id) == {"ENGINE_EVENT"}


def test_a_pruned_instance_goes_on(logs: Logs) -> None:
    logs.run("b1", "b1")
    prune(logs.instance, days=0)
    again = logs.run("b1", "b2")
    assert logs.instance.get_materialized_partitions(pictured.key) == {"b1", "b2"}
    assert "STEP_SUCCESS" in logs.kinds(again)


def test_no_byte_of_a_scrubbed_picture_is_left_in_any_file(logs: Logs) -> None:
    runs = [logs.run("b1", "b2"), logs.run("b1", "b1"), logs.run("b3", "b3"), logs.run("b2", "b2")]
    assert logs.holding(PICTURES["b2"]) and logs.holding(PICTURES["b1"])
    before = facts(logs)
    # Two events in the index and in the files of their runs, and the newest event of the asset.
    assert scrub_previews(logs.instance, ["b2", "b9"]) == 5
    for start in range(0, 1000, 100):
        assert logs.holding(PICTURES["b2"][start : start + 100]) == []
    assert logs.holding("said in b2 by") == [] and logs.holding("said in b1 by")
    assert logs.holding(PICTURES["b1"]) and logs.holding(PICTURES["b3"])

    assert facts(logs) == before
    sheets = {}
    for record in logs.instance.fetch_materializations(pictured.key, limit=50).records:
        found = record.asset_materialization
        assert found and found.metadata["rows"].value == 3
        sheets[record.partition_key] = found.metadata["contact_sheet"].value
    assert sheets["b2"] == "1 of 1\n\nWhat was shown here was removed."
    assert PICTURES["b1"] in str(sheets["b1"])
    assert all("ASSET_MATERIALIZATION" in logs.kinds(run_id) for run_id in runs)
    assert scrub_previews(logs.instance, ["b2"]) == scrub_previews(logs.instance, []) == 0


def test_a_file_in_use_is_reported(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.event_store._BUSY_S", 0.1)
    logs.run("b1", "b1")
    index = logs.path / "history" / "runs" / "index.db"
    with closing(sqlite3.connect(index)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM event_logs").fetchone()
        with pytest.raises(EventStoreBusy, match=r"index\.db .* in use .* run upkeep again"):
            scrub_previews(logs.instance, ["b1"])
    scrub_previews(logs.instance, ["b1"])
    assert logs.holding(PICTURES["b1"][:100]) == []


def test_ids_are_taken_out_of_configurations_and_tags(logs: Logs) -> None:
    odd = 'an "odd" id'
    runs = [logs.run("b1", "b1", ("visitor-7", odd, "visitor-70")), logs.run("b2", "b2", ("x",))]
    logs.instance.add_run_tags(runs[1], {"subject": "visitor-7"})
    assert scrub_runs(logs.instance, ["visitor-7", odd]) == 2
    assert logs.holding('visitor-7"') == logs.holding("odd") == []
    told, tagged = (logs.instance.get_run_by_id(run_id) for run_id in runs)
    assert told and told.run_config["ops"]["pictured"]["config"]["names"] == [
        "erased",
        "erased",
        "visitor-70",
    ]
    assert tagged and tagged.tags["subject"] == "erased" and tagged.job_name
    assert [run.run_id for run in logs.instance.get_runs()] == runs[::-1]
    found = logs.instance.get_runs(dg.RunsFilter(tags={"subject": "erased"}))
    assert [run.run_id for run in found] == [runs[1]]

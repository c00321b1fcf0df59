"""What the code location offers, and in which order private data can move through it."""

import datetime as dt

import dagster as dg
import pytest

from assets.common import OWNERS, batches
from definitions import definitions
from pipelines.channels import CHANNELS

EMBEDDINGS = {f"{name}_embeddings" for name in CHANNELS}
READ = {"redacted_media", "keyframes", "transcripts"}
DESCRIBED = {"captions", "storylines", "sound_tags"}
DERIVED = {*READ, *DESCRIBED, "passages", *EMBEDDINGS}
GROUPS = {
    "ingest": {"raw_media", "items"},
    "redact": READ,
    "enrich": DESCRIBED,
    "embed": {"passages", *EMBEDDINGS},
    "publish": {"release", "index_tuning", "search_quality"},
    "learn": {"fusion_weights", "ab_report"},
    "upkeep": {"backfill_plan", "erasures", "upkeep"},
    "disaster": {"snapshot", "restore_drill"},
}
CHECKS = {
    ("items", "items"),
    *((name, "segments") for name in READ),
    *((name, "texts") for name in READ | DESCRIBED),
    *((name, "vectors") for name in EMBEDDINGS),
    ("passages", "passages"),
    ("release", "coverage"),
    ("release", "failures"),
    *(("upkeep", name) for name in ("disk", "index_coverage", "versions")),
}


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return definitions()


@pytest.fixture(scope="module")
def specs(defs: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def upstream(specs: dict[str, dg.AssetSpec], name: str) -> set[str]:
    return {dep.asset_key.to_user_string() for dep in specs[name].deps}


def test_assets_stand_in_their_groups(specs: dict[str, dg.AssetSpec]) -> None:
    found: dict[str, set[str]] = {}
    for name, spec in specs.items():
        found.setdefault(spec.group_name or "", set()).add(name)
    assert found == GROUPS


def test_assets_say_what_and_whose_they_are(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        assert len(spec.description or "") > 20, name
        assert list(spec.owners) == OWNERS, name
        assert spec.kinds, name
        assert spec.code_version or name == "raw_media", name


def test_what_is_derived_is_made_batch_by_batch(
    defs: dg.Definitions, specs: dict[str, dg.AssetSpec]
) -> None:
    graph = defs.resolve_asset_graph()
    partitioned = {name for name, spec in specs.items() if spec.partitions_def == batches}
    assert partitioned == {*DERIVED, "raw_media"}
    for name in DERIVED:
        node = graph.get(dg.AssetKey(name))
        assert node.backfill_policy == dg.BackfillPolicy.single_run()
        assert node.automation_condition is not None


def test_nothing_private_gets_past_redaction(specs: dict[str, dg.AssetSpec]) -> None:
    # What is reached from the files once redaction is taken out of the graph.
    reached = {"raw_media"}
    while True:
        more = {
            name
            for name in specs.keys() - reached - {*READ, "items"}
            if upstream(specs, name) & reached
        }
        if not more:
            break
        reached |= more
    assert reached == {"raw_media"}
    # Items are redacted when they are registered: two assets may read them beside.
    beside = {name for name in specs if "items" in upstream(specs, name)}
    assert beside == {"raw_media", "meta_embeddings", "release"}
    assert upstream(specs, "meta_embeddings") == {"items", *READ}


def test_what_is_seen_and_what_is_said_do_not_wait_for_each_other(
    specs: dict[str, dg.AssetSpec],
) -> None:
    assert all(upstream(specs, name) == {"raw_media"} for name in READ)
    assert upstream(specs, "transcript_embeddings") == {"transcripts"}
    assert upstream(specs, "video_embeddings") == {"keyframes"}
    assert upstream(specs, "story_embeddings") == {"storylines"}
    assert upstream(specs, "storylines") == {"captions"}


def test_each_step_has_a_pool_of_its_own(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert {name: graph.get(dg.AssetKey(name)).pools for name in DERIVED} == {
        name: {name} for name in DERIVED
    }


def test_release_waits_for_all_that_is_searched(specs: dict[str, dg.AssetSpec]) -> None:
    assert upstream(specs, "release") == {"items", "passages", *EMBEDDINGS}


def test_checks_report_on_every_table(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    keys = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert keys == CHECKS
    for key in graph.asset_check_keys:
        assert graph.get(key).description
        assert not graph.get(key).blocking, "a check is no gate: the asset fails by itself"


def test_jobs_select_their_part(defs: dg.Definitions) -> None:
    def selected(job: str) -> set[str]:
        keys = defs.resolve_job_def(job).asset_layer.selected_asset_keys
        return {key.to_user_string() for key in keys}

    assert selected("scan") == {"items"}
    assert selected("index_batch") == DERIVED
    assert selected("publish") == {"release"}
    assert defs.resolve_job_def("index_batch").partitions_def == batches


def test_everything_has_a_name_of_its_own(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_nothing_starts_by_itself(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "nightly_scan",
        "nightly_eval",
        "nightly_release",
        "nightly_upkeep",
        "nightly_snapshot",
        "weekly_drill",
        "weekly_learning",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "keep_batches_current",
        "retry_failed",
        "watch_sources",
    }
    for schedule in repository.schedule_defs:
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    for sensor in repository.sensor_defs:
        assert sensor.default_status is dg.DefaultSensorStatus.STOPPED


@pytest.mark.parametrize(("name", "hour"), [("nightly_scan", 1), ("nightly_release", 5)])
def test_schedules_ask_for_one_run(defs: dg.Definitions, name: str, hour: int) -> None:
    schedule = defs.resolve_schedule_def(name)
    assert schedule.cron_schedule == f"10 {hour} * * *"
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=dt.datetime(2026, 11, 20, hour, 10, tzinfo=dt.UTC),
            repository_def=defs.get_repository_def(),
        )
        requests = schedule.evaluate_tick(context).run_requests or []
    assert [request.partition_key for request in requests] == [None]
    assert requests[0].run_config == {}


def test_the_sensor_watches_what_is_derived(defs: dg.Definitions) -> None:
    sensor = defs.get_repository_def().get_sensor_def("keep_batches_current")
    assert sensor.asset_selection is not None
    keys = sensor.asset_selection.resolve(defs.resolve_asset_graph())
    assert {key.to_user_string() for key in keys} == DERIVED

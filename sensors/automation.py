"""The automation sensor and the nightly schedules. All are off until an operator turns them on."""

from collections.abc import Iterator

import dagster as dg

from pipelines import outcomes
from pipelines.pipeline import STEPS
from resources.home import HomeResource

_DERIVED = dg.AssetSelection.groups("redact", "enrich", "embed")

scan = dg.define_asset_job(
    "scan",
    selection=dg.AssetSelection.assets("items"),
    description="Look for new, changed and deleted files in every known source.",
)
index_batch = dg.define_asset_job(
    "index_batch",
    selection=_DERIVED,
    description="Bring one batch, or a range of batches, up to date.",
)
redo_failed = dg.define_asset_job(
    "redo_failed",
    selection=_DERIVED,
    config={"ops": {name: {"config": {"redo": True}} for name in STEPS}},
    description="Try at once what failed in a batch, whether it waits for its time or was given "
    "up. Choose the batches, or all of them, when launching.",
)
plan = dg.define_asset_job(
    "plan",
    selection=dg.AssetSelection.assets("backfill_plan"),
    description="Say what a backfill will take: fill in its scope and launch.",
)
publish = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.assets("release"),
    description="Publish the present state of all tables as a release.",
)
tune_indexes = dg.define_asset_job(
    "tune_indexes",
    selection=dg.AssetSelection.assets("index_tuning"),
    description="Measure vector indexes on what serves; the next release takes what is chosen.",
)
evaluate_search = dg.define_asset_job(
    "evaluate_search",
    selection=dg.AssetSelection.assets("search_quality"),
    description="Measure what serves on the labelled queries that the policy names.",
)
learn_weights = dg.define_asset_job(
    "learn_weights",
    selection=dg.AssetSelection.assets("fusion_weights", "ab_report"),
    description="Learn from clicks, for the next release, and report on the profile on trial.",
)
keep_house = dg.define_asset_job(
    "keep_house",
    selection=dg.AssetSelection.assets("erasures", "upkeep"),
    description="Expire, purge, tidy and prune; waits until nobody writes.",
)
take_snapshot = dg.define_asset_job(
    "take_snapshot",
    selection=dg.AssetSelection.assets("snapshot"),
    description="Copy what is new in the home to other storage.",
)
drill = dg.define_asset_job(
    "drill",
    selection=dg.AssetSelection.assets("restore_drill"),
    description="Restore the newest snapshot into a scratch folder and compare it.",
)

nightly_scan = dg.ScheduleDefinition(
    name="nightly_scan",
    job=scan,
    cron_schedule="10 1 * * *",
    description="01:10 UTC; the automation sensor then works on the batches that changed.",
)
nightly_eval = dg.ScheduleDefinition(
    name="nightly_eval",
    job=evaluate_search,
    cron_schedule="0 2 * * *",
    description="02:00 UTC: how good and how fast search is, beside the night before.",
)
nightly_upkeep = dg.ScheduleDefinition(
    name="nightly_upkeep",
    job=keep_house,
    cron_schedule="40 3 * * *",
    description="03:40 UTC, between the scan and the release, which then has merged indexes.",
)
nightly_snapshot = dg.ScheduleDefinition(
    name="nightly_snapshot",
    job=take_snapshot,
    cron_schedule="20 4 * * *",
    description="04:20 UTC: a snapshot of all tables and derivatives; old ones go.",
)
nightly_release = dg.ScheduleDefinition(
    name="nightly_release",
    job=publish,
    cron_schedule="10 5 * * *",
    description="05:10 UTC. A schedule, since a condition would wait for every last batch.",
)

weekly_learning = dg.ScheduleDefinition(
    name="weekly_learning",
    job=learn_weights,
    cron_schedule="40 4 * * 0",
    description="Sundays, 04:40 UTC, before the release, which takes what was learned.",
)
weekly_drill = dg.ScheduleDefinition(
    name="weekly_drill",
    job=drill,
    cron_schedule="50 6 * * 0",
    description="Sundays, 06:50 UTC: proves that the newest snapshot can be restored.",
)

keep_batches_current = dg.AutomationConditionSensorDefinition(
    "keep_batches_current",
    target=_DERIVED,
    minimum_interval_seconds=30,
    description="Works on batches whose inputs have arrived or changed.",
)


@dg.sensor(
    job=index_batch,
    minimum_interval_seconds=60,
    description="Runs the batches in which a failed row is due for its next try.",
)
def retry_failed(home: HomeResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request one run for each batch and due time; the same try is never requested twice."""
    batches = outcomes.due(home.store().outcomes)
    if not batches:
        yield dg.SkipReason("nothing that failed is due")
    for batch, moment in batches.items():
        yield dg.RunRequest(run_key=f"{batch} {moment.isoformat()}", partition_key=batch)

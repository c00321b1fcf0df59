"""The automation sensor and the nightly schedules. All are off until an operator turns them on."""

import dagster as dg

scan = dg.define_asset_job(
    "scan",
    selection=dg.AssetSelection.assets("items"),
    description="Look for new, changed and deleted files in every known source.",
)
index_batch = dg.define_asset_job(
    "index_batch",
    selection=dg.AssetSelection.groups("redact", "enrich", "embed"),
    description="Bring one batch, or a range of batches, up to date.",
)
publish = dg.define_asset_job(
    "publish",
    selection=dg.AssetSelection.assets("release"),
    description="Publish the present state of all tables as a release.",
)

nightly_scan = dg.ScheduleDefinition(
    name="nightly_scan",
    job=scan,
    cron_schedule="10 1 * * *",
    description="01:10 UTC; the automation sensor then works on the batches that changed.",
)
nightly_release = dg.ScheduleDefinition(
    name="nightly_release",
    job=publish,
    cron_schedule="10 5 * * *",
    description="05:10 UTC. A schedule, since a condition would wait for every last batch.",
)

keep_batches_current = dg.AutomationConditionSensorDefinition(
    "keep_batches_current",
    target=dg.AssetSelection.groups("redact", "enrich", "embed"),
    minimum_interval_seconds=30,
    description="Works on batches whose inputs have arrived or changed.",
)

"""The door to Dagster: everything the code location offers, put together in one place."""

import dagster as dg

from assets import checks, derive, ingest, planning, publish, upkeep
from resources.home import HomeResource
from resources.kubernetes import executor_from_environment
from sensors import automation


@dg.definitions
def definitions() -> dg.Definitions:
    """Return all assets, checks, jobs, schedules, sensors and resources."""
    return dg.Definitions(
        assets=[
            ingest.items,
            ingest.raw_media,
            derive.redacted_media,
            derive.captions,
            *derive.embeddings,
            derive.passages,
            publish.release,
            planning.backfill_plan,
            upkeep.upkeep,
        ],
        asset_checks=[*checks.checks, *upkeep.checks],
        jobs=[
            automation.scan,
            automation.index_batch,
            automation.redo_failed,
            automation.plan,
            automation.publish,
            automation.keep_house,
        ],
        schedules=[
            automation.nightly_scan,
            automation.nightly_upkeep,
            automation.nightly_release,
        ],
        sensors=[automation.keep_batches_current, automation.retry_failed],
        resources={"home": HomeResource()},
        executor=executor_from_environment(),
    )

"""The door to Dagster: everything the code location offers, put together in one place."""

import dagster as dg

from assets import (
    checks,
    derive,
    disaster,
    erasure,
    ingest,
    learning,
    measuring,
    planning,
    publish,
    tuning,
    upkeep,
)
from resources.home import HomeResource
from resources.kubernetes import executor_from_environment
from sensors import automation, watching


@dg.definitions
def definitions() -> dg.Definitions:
    """Return all assets, checks, jobs, schedules, sensors and resources."""
    return dg.Definitions(
        assets=[
            ingest.items,
            ingest.raw_media,
            derive.redacted_media,
            derive.keyframes,
            derive.transcripts,
            derive.captions,
            derive.storylines,
            derive.sound_tags,
            *derive.embeddings,
            derive.passages,
            publish.release,
            tuning.index_tuning,
            measuring.search_quality,
            learning.fusion_weights,
            learning.ab_report,
            planning.backfill_plan,
            erasure.erasures,
            upkeep.upkeep,
            disaster.snapshot,
            disaster.restore_drill,
        ],
        asset_checks=[*checks.checks, *upkeep.checks],
        jobs=[
            automation.scan,
            watching.index_sources,
            automation.index_batch,
            automation.redo_failed,
            automation.plan,
            automation.publish,
            automation.tune_indexes,
            automation.evaluate_search,
            automation.learn_weights,
            automation.keep_house,
            automation.take_snapshot,
            automation.drill,
        ],
        schedules=[
            automation.nightly_scan,
            automation.nightly_eval,
            automation.nightly_upkeep,
            automation.nightly_snapshot,
            automation.nightly_release,
            automation.weekly_learning,
            automation.weekly_drill,
        ],
        sensors=[automation.keep_batches_current, automation.retry_failed, watching.watch_sources],
        resources={"home": HomeResource()},
        executor=executor_from_environment(),
    )

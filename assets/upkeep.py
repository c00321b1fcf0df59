"""Keeping house every night: expiries, erasures, tables, logs; and whether it is enough."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from assets.common import OWNERS
from pipelines import ledger
from pipelines.erasure.purge import purge
from pipelines.progress import reporter
from pipelines.store import Store
from pipelines.tables.facts import equals_any
from pipelines.upkeep.expiry import expire
from pipelines.upkeep.state import TableState
from pipelines.upkeep.survey import Survey, survey, survey_tables
from pipelines.upkeep.tidy import tidy
from resources.event_store import prune, scrub_pictures, scrub_runs
from resources.home import HomeResource

_LOOKED_BACK = 8
_GROWTH = 1.5
_NOT_MUCH = 64 << 20
_UNINDEXED = 0.05


@dg.asset(
    group_name="upkeep",
    kinds={"deltalake", "lancedb", "sqlite"},
    owners=OWNERS,
    code_version="1",
    freshness_policy=dg.FreshnessPolicy.time_window(
        fail_window=dt.timedelta(hours=36), warn_window=dt.timedelta(hours=26)
    ),
    description="A tidy home: expired items are erased, erasures are carried out, tables are "
    "compacted and indexed, versions that no kept release needs are removed, and Dagster's own "
    "logs are pruned. Waits until nobody writes.",
)
def upkeep(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Expire, purge, tidy, prune, and tell how the home stands."""
    started = dt.datetime.now(dt.UTC)
    store, settings, instance = home.store(), home.settings(), context.instance
    expired = expire(store, settings)
    erased = ledger.pending(store)
    # Before the purge, which forgets whose pictures these were.
    pictures = scrub_pictures(instance, _batches(store, erased))
    scrub_runs(instance, erased)
    purge(store, settings, reporter("purging"))
    encoders = home.models().encoders()
    in_use = {store.channel(name, choice.identity).name for name, choice in encoders.items()}
    tidied = tidy(store, settings, in_use, reporter("tidying"))
    pruned = prune(instance, settings.keep_event_days)
    state = survey(store, settings)
    return dg.MaterializeResult(
        metadata={
            "expired": len(expired),
            "purged": len(erased),
            "pictures_removed": pictures,
            "reclaimed_bytes": tidied.reclaimed + pruned["bytes"],
            "blobs_removed": tidied.blobs_removed,
            "rows_removed": tidied.rows_removed,
            "events_removed": pruned["events"],
            "tables_dropped": len(tidied.dropped),
            "unindexed_before": tidied.unindexed[0],
            "seconds": round((dt.datetime.now(dt.UTC) - started).total_seconds(), 3),
            **_numbers(state),
            "survey": _table(state.tables),
        }
    )

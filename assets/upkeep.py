"""Keeping house every night: tables, files and logs; and whether that is enough."""

import datetime as dt
import time
from collections.abc import Iterable, Sequence

import dagster as dg

from assets.common import OWNERS
from pipelines.progress import reporter
from pipelines.upkeep.state import TableState
from pipelines.upkeep.survey import survey, survey_tables
from pipelines.upkeep.tidy import tidy
from resources.event_store import prune
from resources.home import HomeResource

_KEY = dg.AssetKey("upkeep")
_LOOKED_BACK = 8
_GROWTH = 1.5
_NOT_MUCH = 64 << 20
_UNINDEXED = 0.05


@dg.asset(
    key=_KEY,
    group_name="upkeep",
    kinds={"deltalake", "lancedb"},
    owners=OWNERS,
    code_version="1",
    # A check of the last run's age would only run together with the next.
    freshness_policy=dg.FreshnessPolicy.time_window(
        fail_window=dt.timedelta(hours=36), warn_window=dt.timedelta(hours=26)
    ),
    description="A tidy home: tables are merged and indexed, versions that no kept release needs "
    "and files that nothing names are removed, Dagster's own logs are pruned. Waits until nobody "
    "writes; searches go on.",
)
def upkeep(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Tidy, prune, and tell how the home stands."""
    started = time.monotonic()
    store, settings = home.store(), home.settings()
    encoders = home.models().encoders()
    in_use = {store.channel(name, choice.identity).name for name, choice in encoders.items()}
    tidied = tidy(store, settings, in_use, reporter("tidying"))
    pruned = prune(context.instance, settings.keep_event_days)
    state = survey(store, settings)
    return dg.MaterializeResult(
        metadata={
            "reclaimed_bytes": tidied.reclaimed + pruned["bytes"],
            "blobs_removed": tidied.blobs_removed,
            "rows_removed": tidied.rows_removed,
            "tables_dropped": len(tidied.dropped),
            "events_removed": pruned["events"],
            "unindexed_before": tidied.unindexed[0],
            "unindexed_rows": tidied.unindexed[1],
            "versions": sum(table.versions for table in state.tables),
            "rows": state.rows,
            "total_bytes": state.bytes,
            **{f"bytes_{folder}": size for folder, size in state.folders.items()},
            "seconds": round(time.monotonic() - started, 3),
            "survey": _table(state.tables),
        }
    )


@dg.asset_check(asset=_KEY, description="Disk use grows with the rows, not with the runs.")
def disk(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Compare the newest run with the oldest of the last few."""
    history = context.instance.fetch_materializations(_KEY, limit=_LOOKED_BACK).records
    told = [found for record in history if (found := record.asset_materialization)]
    numbers = [(_number(each, "total_bytes"), _number(each, "rows")) for each in told] or [(0, 0)]
    (size, rows), (old_size, old_rows) = numbers[0], numbers[-1]
    growth = size / old_size if old_size else 1.0
    row_growth = rows / old_rows if old_rows else 1.0
    factor = growth / max(row_growth, 1.0)
    return dg.AssetCheckResult(
        passed=factor <= _GROWTH or size - old_size < _NOT_MUCH,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"bytes grew {growth:.2f} times over {len(numbers)} runs, "
        f"rows {row_growth:.2f} times",
        metadata={
            "bytes": int(size),
            "growth": growth,
            "row_growth": row_growth,
            "factor": factor,
        },
    )


def _number(found: dg.AssetMaterialization, name: str) -> float:
    return float(found.metadata[name].value)  # type: ignore[arg-type]


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "index_coverage",
            asset=_KEY,
            description="Indexes hold all rows but a few, since the others are scanned each time.",
        ),
        dg.AssetCheckSpec(
            "versions", asset=_KEY, description="No table keeps old versions that nothing needs."
        ),
    ],
)
def tables_are_tidy(home: HomeResource) -> Iterable[dg.AssetCheckResult]:
    """Look at the tables as they are now, which other runs may have changed since."""
    states = survey_tables(home.store(), home.settings().keep_days)
    yield _coverage([state for state in states if state.indexed])
    yield _versions(states)


def _coverage(states: Sequence[TableState]) -> dg.AssetCheckResult:
    shares = {state.table: state.unindexed / max(state.rows, 1) for state in states}
    behind = [name for name, share in shares.items() if share > _UNINDEXED]
    return dg.AssetCheckResult(
        check_name="index_coverage",
        passed=not behind,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"more than {_UNINDEXED:.0%} unindexed: {', '.join(behind)}" if behind else "",
        metadata={
            "unindexed_share": max(shares.values(), default=0.0),
            "unindexed_rows": sum(state.unindexed for state in states),
            "segments": max((state.segments for state in states), default=0),
        },
    )


def _versions(states: Sequence[TableState]) -> dg.AssetCheckResult:
    stale = [state.table for state in states if state.stale]
    return dg.AssetCheckResult(
        check_name="versions",
        passed=not stale,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"versions that should be gone: {', '.join(stale)}" if stale else "",
        metadata={
            "stale": sum(state.stale for state in states),
            "most": max((state.versions for state in states), default=0),
        },
    )


def _table(states: Sequence[TableState]) -> dg.MetadataValue:
    kinds = {int: "int", bool: "bool", str: "string"}
    fields = TableState.__annotations__
    return dg.MetadataValue.table(
        [dg.TableRecord(state._asdict()) for state in states],
        schema=dg.TableSchema([dg.TableColumn(name, kinds[kind]) for name, kind in fields.items()]),
    )


checks = [disk, tables_are_tidy]

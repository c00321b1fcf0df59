"""Disaster recovery: the nightly snapshot, and the weekly proof that it would bring all back."""

from collections.abc import Iterator

import dagster as dg

from assets.common import OWNERS
from pipelines import snapshots
from pipelines.progress import reporter
from pipelines.settings import Settings
from resources.home import HomeResource


@dg.asset(
    group_name="disaster",
    kinds={"deltalake", "lancedb"},
    owners=OWNERS,
    deps=["release"],
    code_version="1",
    output_required=False,
    description="A copy of the home on other storage, of which unchanged files are kept once. "
    "Snapshots older than `keep_snapshot_days` go; the newest stays.",
)
def snapshot(
    context: dg.AssetExecutionContext, home: HomeResource
) -> Iterator[dg.MaterializeResult]:
    """Take a snapshot and let old ones go."""
    settings = home.settings()
    if _has_no_place(context, settings):
        return
    taken = snapshots.take(home.store(), settings, reporter("snapshot, files"))
    gone = snapshots.expire(settings)
    yield dg.MaterializeResult(
        metadata={
            "snapshot": taken.name,
            "files": len(taken.files),
            "gib": round(taken.bytes / 2**30, 6),
            "gib_read": round(taken.read / 2**30, 6),
            "seconds": taken.seconds,
            "snapshots_removed": len(gone),
            **{f"rows_{name}": rows for name, rows in taken.rows.items()},
        }
    )


@dg.asset(
    group_name="disaster",
    kinds={"deltalake", "lancedb"},
    owners=OWNERS,
    deps=["snapshot"],
    code_version="1",
    output_required=False,
    description="The newest snapshot, restored into a scratch folder and compared: every file's "
    "digest, rows and checksums of every table and kept release, answers to stored vectors.",
)
def restore_drill(
    context: dg.AssetExecutionContext, home: HomeResource
) -> Iterator[dg.MaterializeResult]:
    """Try out the newest snapshot; fails by name on what would not come back."""
    settings = home.settings()
    if _has_no_place(context, settings):
        return
    try:
        report = snapshots.drill(home.store(), settings, reporter("restore drill, files"))
    except (snapshots.SnapshotDamaged, snapshots.NoSnapshot) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    yield dg.MaterializeResult(
        metadata={
            "snapshot": report.snapshot,
            "tables_compared": report.tables,
            "rows_compared": report.rows,
            "queries_asked": report.queries,
            "files": report.files,
            "gib": round(report.bytes / 2**30, 6),
            "seconds": report.seconds,
            "gib_per_second": report.gib_per_second,
        }
    )


def _has_no_place(context: dg.AssetExecutionContext, settings: Settings) -> bool:
    if not settings.snapshots:
        context.log.warning("skipped: set `snapshots` in mediadex.toml to a URI on other storage")
    return not settings.snapshots

"""The catalog: which items there are, and in which batch."""

from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from assets.common import OWNERS, batches, code_version
from assets.reporting import outcome_table, table_schema
from pipelines import outcomes
from pipelines.catalog import metadata
from pipelines.pipeline import in_order
from pipelines.progress import reporter
from pipelines.steps.ingest import IngestReport, all_sources, ingest
from pipelines.tables.facts import select
from pipelines.tables.schemas import ITEMS
from resources.home import HomeResource

_BATCH = pa.schema([("batch", pa.string())])

raw_media = dg.AssetSpec(
    "raw_media",
    group_name="ingest",
    partitions_def=batches,
    deps=["items"],
    kinds={"file"},
    owners=OWNERS,
    description="The files themselves, where they are, as batches of items in order of arrival.",
)


class IngestConfig(dg.Config):
    """Which folders or URLs to scan; none means every source that already has items."""

    sources: list[str] = Field([])


@dg.asset(
    group_name="ingest",
    kinds={"deltalake", "python"},
    owners=OWNERS,
    code_version=code_version(metadata.version()),
    description="Every item that is known: its id, batch, origins, content hash and redacted "
    "metadata. Scanning finds new, changed, moved and deleted files.",
)
def items(
    context: dg.AssetExecutionContext, config: IngestConfig, home: HomeResource
) -> dg.MaterializeResult:
    """Scan the sources and report the batches in which anything changed."""
    store, settings = home.store(), home.settings()
    detector = home.models().detector()
    total = IngestReport()
    for url in config.sources or all_sources(store, settings):
        report = ingest(store, url, detector, settings, reporter(f"scanning {url}"))
        for name in ("new", "changed", "deleted", "unchanged"):
            setattr(total, name, getattr(total, name) + getattr(report, name))
        total.batches |= report.batches
        total.refused += report.refused
    _announce(context, store, total)
    return dg.MaterializeResult(
        metadata={
            "new": total.new,
            "changed": total.changed,
            "deleted": total.deleted,
            "unchanged": total.unchanged,
            **outcomes.counts(total.refused),
            "outcomes": outcome_table(total.refused),
            "dagster/row_count": store.items.read(["item_id"], "deleted = false").num_rows,
            "dagster/column_schema": table_schema(ITEMS),
            "dagster/table_name": "items",
            "dagster/uri": store.items.uri,
        }
    )


def _announce(context: dg.AssetExecutionContext, store: Any, report: IngestReport) -> None:
    """Make a partition of every batch, and tell of those that changed."""
    known = set(context.instance.get_dynamic_partitions(str(batches.name)))
    present = select("SELECT DISTINCT batch FROM items", _BATCH, items=store.items)
    new = in_order(set(present["batch"].to_pylist()) - known)
    context.instance.add_dynamic_partitions(str(batches.name), new)
    for batch in in_order(report.batches):
        context.log_event(dg.AssetMaterialization(raw_media.key, partition=batch))

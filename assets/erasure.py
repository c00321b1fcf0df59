"""Removing what was erased: from tables, releases and files, and from what Dagster itself keeps."""

from collections.abc import Collection

import dagster as dg

from assets.common import OWNERS
from pipelines.erasure.proof import Proof, as_rows
from pipelines.erasure.purge import Cleanse, purge
from pipelines.ledger import pending
from pipelines.progress import reporter
from pipelines.search.caches import RedisCache
from pipelines.settings import Settings
from pipelines.snapshots import remember_erasures
from pipelines.upkeep.expiry import expire
from resources.event_store import scrub_previews, scrub_runs
from resources.home import HomeResource


def cleanser(instance: dg.DagsterInstance, settings: Settings) -> Cleanse:
    """Return what removes traces of erased items from what others keep, for a purge to call.

    These are a Dagster instance, and the Redis of the servers' caches if there is one.
    """

    def cleanse(batches: Collection[str], item_ids: Collection[str]) -> None:
        scrub_previews(instance, batches)
        scrub_runs(instance, item_ids)
        if settings.redis:
            RedisCache(settings.redis).clear()

    return cleanse


@dg.asset(
    group_name="upkeep",
    kinds={"deltalake", "lancedb"},
    owners=OWNERS,
    code_version="1",
    description="Proofs that erased items are gone: every table, release and file that held their "
    "bytes is rewritten, then everything is searched. Items are erased by `mediadex erase`, or "
    "here when their time to live is over. Waits until nobody writes.",
)
def erasures(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
    """Expire what is too old, purge what waits, and report the proof."""
    store, settings = home.store(), home.settings()
    expired = expire(store, settings)
    remember_erasures(store, settings)
    cleanse = cleanser(context.instance, settings)
    proof = purge(store, settings, reporter("purging"), cleanse=cleanse)
    return dg.MaterializeResult(
        metadata={
            "expired": len(expired),
            "waiting": len(pending(store)),
            **(_told(proof) if proof else {"purged": 0}),
        }
    )


def _told(proof: Proof) -> dict[str, dg.MetadataValue | int | float]:
    records = [dg.TableRecord(row) for row in as_rows(proof)]
    return {
        "purged": len(proof.items),
        "found": proof.found,
        "seconds": proof.seconds,
        "index_entries": proof.index_entries,
        "files_searched": sum(count.files for count in proof.searched.values()),
        "bytes_searched": sum(count.bytes for count in proof.searched.values()),
        "proof": dg.MetadataValue.path(proof.uri),
        "searched": dg.MetadataValue.table(records),
    }

"""Time to live: items of some sources are erased when they are so and so many days old."""

import datetime as dt
from collections.abc import Mapping

import pyarrow as pa

from pipelines.catalog.sources import locate
from pipelines.ledger import erase
from pipelines.outcomes import now
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import quoted, select

REASON = "time to live"

_SCHEMA = pa.schema([("item_id", pa.string())])
_SQL = """
SELECT item_id FROM (
    SELECT item_id, born, CASE {limits} END AS days FROM (
        SELECT item_id, origin['source'] AS source,
            coalesce(try_cast(published_at AS TIMESTAMP), CAST(registered_at AS TIMESTAMP)) AS born
        FROM (SELECT *, unnest(origins) AS origin FROM items WHERE NOT deleted)
    )
)
GROUP BY item_id
HAVING count(days) = count(*)
    AND date_part('epoch', min(born)) + max(days) * 86400 <= {at}
ORDER BY item_id
"""


def expired(store: Store, settings: Settings, at: dt.datetime | None = None) -> list[str]:
    """Return the ids of items that are too old at a time, by default now.

    Age counts from `published_at`, or without it from when the item was registered. An item with
    several origins lives as long as the most patient of its sources, and with one in a source
    without a limit for ever.
    """
    if not settings.ttl_days:
        return []
    moment = (at or now()).timestamp()
    sql = _SQL.format(limits=_limits(settings.ttl_days), at=moment)
    return select(sql, _SCHEMA, items=store.items)["item_id"].to_pylist()


def expire(store: Store, settings: Settings) -> list[str]:
    """Enter expired items in the ledger, so that the next purge removes them; returns their ids.

    The same bytes are not registered again, but new ones in the same place are: that is what such
    sources are for.
    """
    ids = expired(store, settings)
    erased = erase(store, ids, REASON, places=False) if ids else []
    return [row["item_id"] for row in erased]


def _limits(ttl_days: Mapping[str, float]) -> str:
    """Write one condition a source, the longest beginning first: it is the most exact."""
    by_url = {_url(prefix): days for prefix, days in ttl_days.items()}
    return " ".join(
        f"WHEN starts_with(source, {quoted(url)}) THEN {float(days)!r}"
        for url, days in sorted(by_url.items(), key=lambda pair: -len(pair[0]))
    )


def _url(prefix: str) -> str:
    """Return the URL that a source has, where a local path was given."""
    files, path = locate(prefix)
    return prefix if "://" in prefix else files.unstrip_protocol(path)

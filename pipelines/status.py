"""The state of a home in a few numbers: items, channels, outcomes, release."""

from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa

from pipelines.channels import CHANNELS
from pipelines.models.suite import ModelSuite
from pipelines.outcomes import STATUSES, SUPERSEDED
from pipelines.pipeline import DESCRIBERS, READERS
from pipelines.releases.log import serving
from pipelines.steps.embed import EmbedStep, PassageStep
from pipelines.store import Store
from pipelines.tables.facts import FactTable, equals_any, quoted, select
from pipelines.tables.vectors import SearchTable


def describe(store: Store, models: ModelSuite) -> dict[str, Any]:
    """Return items by kind, the channels of the serving release, and outcomes by step."""
    manifest = serving(store)
    kinds = pa.schema([("kind", pa.string()), ("items", pa.int64())])
    counted = select(
        "SELECT kind, count(*) AS items FROM items WHERE NOT deleted GROUP BY kind ORDER BY kind",
        kinds,
        items=store.items,
    ).to_pylist()
    channels = manifest.channels if manifest else {}
    return {
        "release": manifest.release if manifest else None,
        "items": {
            "total": sum(row["items"] for row in counted),
            **{row["kind"]: row["items"] for row in counted},
        },
        "channels": [
            {
                "channel": name,
                "rows": version.rows,
                "items": version.items,
                "model": version.identity["name"],
            }
            for name, version in channels.items()
        ],
        "outcomes": by_step(store, models),
        "counts": item_outcomes(store),
    }


def by_step(store: Store, models: ModelSuite) -> list[dict[str, Any]]:
    """Return, for each step, how many rows are there (`ok`) and how many ended otherwise."""
    columns = [("step", pa.string()), ("status", pa.string()), ("rows", pa.int64())]
    noted: dict[str, dict[str, int]] = defaultdict(dict)
    for row in select(
        "SELECT step, status, count(*) AS rows FROM outcomes GROUP BY step, status",
        pa.schema(columns),
        outcomes=store.outcomes,
    ).to_pylist():
        noted[row["step"]][row["status"]] = row["rows"]
    there = _rows(store, models)
    return [
        {
            "step": step,
            "ok": rows,
            **{status: noted[step].get(status, 0) for status in (*STATUSES[1:], SUPERSEDED)},
        }
        for step, rows in there.items()
    ]


def _rows(store: Store, models: ModelSuite) -> dict[str, int]:
    """Count what each step has made: items, texts or vectors."""
    vectors = {
        EmbedStep.name_of(channel): store.channel(name, models.encoder(channel).identity)
        for name, channel in CHANNELS.items()
    }
    return {
        "ingest": _count(store.items, "item_id", "NOT deleted"),
        **{step.name: _count(store.segments, "DISTINCT item_id", step.own()) for step in READERS},
        **{
            step.name: _count(store.texts, "key", f"source = {quoted(step.source)}")
            for step in DESCRIBERS
        },
        **{name: _length(table) for name, table in vectors.items()},
        PassageStep.name: _length(store.passages),
    }


def _count(table: FactTable, column: str, where: str = "true") -> int:
    sql = f"SELECT count({column}) AS rows FROM facts WHERE {where}"
    found = select(sql, pa.schema([("rows", pa.int64())]), facts=table)
    return found["rows"][0].as_py() if len(found) else 0


def _length(table: SearchTable) -> int:
    opened = table.open()
    return 0 if opened is None else opened.count_rows()


def item_outcomes(store: Store) -> dict[str, int]:
    """Count items, and files that did not become items, by the worst of their outcomes."""
    order = {status: rank for rank, status in enumerate(("ok", "skipped", "quarantined", "failed"))}
    rows = store.outcomes.rows(["key", "item_id", "status"], equals_any("status", STATUSES))
    named = {row["item_id"] for row in rows if row["item_id"]}
    where = f"NOT deleted AND {equals_any('item_id', named)}"
    alive = set(store.items.read(["item_id"], where)["item_id"].to_pylist())
    worst: dict[str, str] = {}
    for row in rows:
        subject = row["item_id"] or row["key"]
        if row["item_id"] is None or subject in alive:
            worst[subject] = max(worst.get(subject, "ok"), row["status"], key=order.__getitem__)
    counts = Counter(worst.values())
    troubled = sum(subject in alive for subject in worst)
    counts["ok"] += _count(store.items, "item_id", "NOT deleted") - troubled
    return {status: counts[status] for status in STATUSES}


def failed_share(store: Store, models: ModelSuite) -> list[dict[str, Any]]:
    """Return failed rows, all rows, and their share, for each step that has had any."""
    return [
        {
            "step": row["step"],
            "failed": row["failed"],
            "rows": row["ok"] + row["failed"],
            "share": row["failed"] / (row["ok"] + row["failed"]),
        }
        for row in by_step(store, models)
        if row["ok"] + row["failed"]
    ]


def failures(store: Store) -> list[dict[str, Any]]:
    """Return every outcome that is not ok: what, at which step, why, how often tried, when next."""
    rows = store.outcomes.rows()
    where = equals_any("item_id", {row["item_id"] for row in rows if row["item_id"]})
    origins = {
        row["item_id"]: row["origins"][0]["uri"] if row["origins"] else None
        for row in store.items.rows(["item_id", "origins"], where)
    }
    listed = [
        {
            "status": row["status"],
            "step": row["step"],
            "what": row["uri"] or origins.get(row["item_id"]) or row["key"],
            "item_id": row["item_id"],
            "error": row["error"],
            "reason": row["reason"],
            "attempts": row["attempts"],
            "next_try": row["next_try"] and row["next_try"].isoformat(timespec="seconds"),
        }
        for row in rows
    ]
    return sorted(listed, key=lambda row: (row["status"], row["what"], row["step"]))

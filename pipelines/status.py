"""The state of a home in a few numbers: items, channels, outcomes, release."""

from collections import Counter, defaultdict
from typing import Any

from pipelines.outcomes import STATUSES
from pipelines.releases import latest
from pipelines.store import Store


def describe(store: Store) -> dict[str, Any]:
    """Return items by kind, the channels of the latest release, and outcomes by step."""
    manifest = latest(store)
    kinds = Counter(store.items.read(["kind"], "deleted = false")["kind"].to_pylist())
    steps: dict[str, Counter[str]] = defaultdict(Counter)
    for row in store.outcomes.rows(["step", "status"]):
        steps[row["step"]][row["status"]] += 1
    channels = manifest.channels if manifest else {}
    return {
        "release": manifest.release if manifest else None,
        "items": {"total": kinds.total(), **dict(sorted(kinds.items()))},
        "channels": [
            {
                "channel": name,
                "rows": version.rows,
                "items": version.items,
                "model": version.identity["name"],
            }
            for name, version in channels.items()
        ],
        "outcomes": [
            {"step": step, **{status: counted[status] for status in STATUSES}}
            for step, counted in sorted(steps.items())
        ],
        "counts": item_outcomes(store),
    }


def item_outcomes(store: Store) -> dict[str, int]:
    """Count items, and files that did not become items, by the worst of their outcomes."""
    order = {status: rank for rank, status in enumerate(("ok", "skipped", "quarantined", "failed"))}
    alive = store.items.read(["item_id"], "deleted = false")["item_id"].to_pylist()
    worst: dict[str, str] = dict.fromkeys(alive, "ok")
    for row in store.outcomes.rows(["key", "item_id", "status"]):
        subject = row["item_id"] or row["key"]
        if row["item_id"] is None or subject in worst:
            worst[subject] = max(worst.get(subject, "ok"), row["status"], key=order.__getitem__)
    return {status: sum(value == status for value in worst.values()) for status in STATUSES}


def failures(store: Store) -> list[dict[str, Any]]:
    """Return every outcome that is not ok: what, at which step, why, how often tried."""
    rows = store.outcomes.rows(where="status <> 'ok'")
    origins = {
        row["item_id"]: row["origins"][0]["uri"] if row["origins"] else None
        for row in store.items.rows(["item_id", "origins"])
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
        }
        for row in rows
    ]
    return sorted(listed, key=lambda row: (row["status"], row["what"], row["step"]))

"""Why an answer was as it was: each part of each score, and what else was considered."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from pipelines.search.journal.records import Record

_EXACT = 1e-6


def explanation(record: Record, hidden: Collection[str] = frozenset()) -> dict[str, Any]:
    """Describe an answer by what was recorded of it, without items that must not be shown now.

    Those are only counted. `adds_up` tells whether the parts of every score sum to it.
    """
    results = [
        {"rank": rank, **result}
        for rank, result in enumerate(record.results, record.request["offset"] + 1)
        if result["item_id"] not in hidden
    ]
    return {
        "query_id": record.query_id,
        "at": record.at.isoformat(),
        "release": record.release,
        **record.answer,
        # Whose query it was is known of those that are still there.
        "repeats": record.repeats if record.first else None,
        "masked": record.masked,
        "confidence": record.confidence,
        "weights": dict(record.weights),
        "trace": list(record.trace),
        "adds_up": all(map(adds_up, record.results)),
        "hidden": len(record.items.intersection(hidden)),
        "results": results,
        "candidates": _candidates(record, hidden),
    }


def adds_up(result: Mapping[str, Any]) -> bool:
    """Tell whether the parts of a result's score sum to it."""
    return abs(math.fsum(result["channels"].values()) - result["score"]) <= _EXACT


def _candidates(record: Record, hidden: Collection[str]) -> list[dict[str, Any]]:
    found = record.candidates
    return [
        {
            "item_id": item_id,
            "score": score,
            "similarity": _named(found.channels, similarity),
            "evidence": _named(found.channels, evidence),
        }
        for item_id, score, similarity, evidence in zip(
            found.items, found.scores, found.similarities.T, found.evidence.T, strict=True
        )
        if item_id not in hidden
    ]


def _named(channels: Collection[str], values: Any) -> dict[str, float]:
    pairs = zip(channels, values.tolist(), strict=True)
    return {name: value for name, value in pairs if not math.isnan(value)}

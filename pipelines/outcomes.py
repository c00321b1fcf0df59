"""What happened to each item at each step: ok, failed, quarantined or skipped, and why."""

import datetime as dt
import os
import traceback
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pipelines.errors import BadInput, MediadexError, ResidualFinding
from pipelines.reading.media import NotMedia
from pipelines.tables.facts import FactTable, equals_any, quoted

STATUSES = ("ok", "failed", "quarantined", "skipped")
# These wait until the bytes or the step change; a failed one is tried again by the next run.
SETTLED = ("ok", "quarantined", "skipped")


def now() -> dt.datetime:
    """Return the current time in UTC."""
    return dt.datetime.now(dt.UTC)


def classify(error: Exception) -> tuple[str, str]:
    """Return status and a reason safe to store: our own errors speak, others give a class."""
    if isinstance(error, BadInput | ResidualFinding):
        return "quarantined", str(error)
    if isinstance(error, NotMedia):
        return "skipped", str(error)
    if isinstance(error, MediadexError):
        return "failed", str(error)
    if isinstance(error, OSError) and error.errno:
        return "failed", os.strerror(error.errno)
    return "failed", f"unexpected {type(error).__name__} at {_place(error)}"


def _place(error: Exception) -> str:
    """Name file and line, but no value: the text of a foreign error may quote private data."""
    frames = traceback.extract_tb(error.__traceback__)
    return (
        f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}"
        if frames
        else "an unknown place"
    )


def outcome(
    key: str,
    step: str,
    status: str,
    recipe: str,
    *,
    item_id: str | None = None,
    batch: str | None = None,
    uri: str | None = None,
    error: str | None = None,
    reason: str | None = None,
    attempts: int = 1,
) -> dict[str, Any]:
    """Build one row of the outcomes table."""
    return {
        "key": key,
        "item_id": item_id,
        "batch": batch,
        "step": step,
        "status": status,
        "error": error,
        "reason": reason,
        "attempts": attempts,
        "uri": uri,
        "recipe": recipe,
        "updated_at": now(),
    }


def record(table: FactTable, step: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write outcomes of one step, replacing what these keys had before, in one commit."""
    if rows:
        keys = equals_any("key", {row["key"] for row in rows})
        table.replace(f"step = {quoted(step)} AND {keys}", rows)


def forget(table: FactTable, step: str, keys: Collection[str]) -> None:
    """Delete the outcomes that these keys had at one step."""
    if keys:
        table.replace(f"step = {quoted(step)} AND {equals_any('key', keys)}", [])


def counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Count rows by status; every status is present."""
    tally = Counter(row["status"] for row in rows)
    return {status: tally[status] for status in STATUSES}

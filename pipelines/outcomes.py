"""What happened to each item at each step, where it was not simply done, and why.

A row that exists with its recipe is ok, and nothing more is written about it. What is written is
every other end: `failed` can pass later and is tried again, `quarantined` and `skipped` wait until
the bytes, the settings or the code change, `superseded` tells that what had failed is gone.
"""

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

_LONGEST_WAIT_S = 86_400.0

STATUSES = ("ok", "failed", "quarantined", "skipped")
SUPERSEDED = "superseded"
# These wait until the bytes or the step change.
REFUSED = ("quarantined", "skipped")


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


def residual(table: FactTable, *steps: str) -> set[str]:
    """Return the ids of items in which some steps, or any, still found private data."""
    where = f"status = 'quarantined' AND error = {quoted(ResidualFinding.__name__)}"
    if steps:
        where += f" AND {equals_any('step', steps)}"
    return set(table.read(["item_id"], where)["item_id"].to_pylist())


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
    next_try: dt.datetime | None = None,
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
        "next_try": next_try,
        "uri": uri,
        "recipe": recipe,
        "updated_at": now(),
    }


def failure(
    error: Exception,
    recipe: str,
    before: Mapping[str, Any] | None,
    budget: int,
    delay_s: float,
) -> dict[str, Any]:
    """Return what an outcome says of an error, given the outcome `before` of the same key.

    What can pass later gets a time for the next try, twice as far away after each, until `budget`
    tries of the same recipe are spent; what cannot gets none.
    """
    status, reason = classify(error)
    again = before is not None and before["recipe"] == recipe
    attempts = before["attempts"] + 1 if again and before else 1
    retried = status == "failed" and attempts < budget
    wait = dt.timedelta(seconds=min(delay_s * 2 ** (attempts - 1), _LONGEST_WAIT_S))
    return {
        "status": status,
        "recipe": recipe,
        "error": type(error).__name__,
        "reason": reason,
        "attempts": attempts,
        "next_try": now() + wait if retried else None,
    }


def superseded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a row that was never made and whose input is not there any more."""
    reason = "its item was deleted, or changed so that this part of it is gone"
    ended = {"status": SUPERSEDED, "reason": reason, "next_try": None, "updated_at": now()}
    return {**row, **ended}


def is_due(row: Mapping[str, Any], recipe: str, at: dt.datetime) -> bool:
    """Tell whether an input with this outcome is to be tried at a time, for a recipe it had then.

    Another recipe is another case and always due.
    """
    if row["recipe"] != recipe or row["status"] == SUPERSEDED:
        return True
    return row["status"] == "failed" and row["next_try"] is not None and row["next_try"] <= at


def due(table: FactTable) -> dict[str, dt.datetime]:
    """Return the batches in which failed rows are due, with the latest of their due times."""
    where = f"next_try <= TIMESTAMP {quoted(now().isoformat())} AND batch IS NOT NULL"
    rows = sorted(table.rows(["batch", "next_try"], where), key=lambda row: row["next_try"])
    return {row["batch"]: row["next_try"] for row in rows}


def make_due(table: FactTable, step: str) -> int:
    """Let what failed at one step be tried again at once; returns how many rows that are."""
    rows = table.rows(where=f"step = {quoted(step)} AND status = 'failed'")
    record(table, step, [row | {"next_try": now()} for row in rows])
    return len(rows)


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

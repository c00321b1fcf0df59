"""Trying out that a snapshot would bring everything back."""

import tempfile
import time
from typing import Any

import pyarrow as pa
from deltalake.exceptions import DeltaError
from pydantic import BaseModel

from pipelines.settings import Settings
from pipelines.snapshots.checksums import checksum
from pipelines.snapshots.contents import Held, State, batches, lance_table
from pipelines.snapshots.files import Progress, SnapshotDamaged
from pipelines.snapshots.restoring import bring_back, find
from pipelines.store import Store

_QUERIES = 3
_NEIGHBOURS = 10
_UNREADABLE = (OSError, ValueError, RuntimeError, DeltaError)


class DrillReport(BaseModel):
    """A restore that was tried: `tables` versions compared, `queries` asked in both homes."""

    snapshot: str
    tables: int
    rows: int
    queries: int
    files: int
    bytes: int
    seconds: float
    gib_per_second: float


def drill(store: Store, settings: Settings, progress: Progress | None = None) -> DrillReport:
    """Restore the newest snapshot into a scratch folder, look whether all is there, and remove it.

    Compared are rows and checksums of every table and kept release with what the snapshot says, and
    the nearest neighbours of some stored vectors with those in the live home, where it still has
    the version. Raises SnapshotDamaged, naming what differs. `TMPDIR` needs room for a home.
    """
    tree, snapshot = find("latest", settings)
    with tempfile.TemporaryDirectory(prefix="mediadex-drill-") as scratch:
        copy = Store(scratch)
        started = time.monotonic()
        bring_back(tree, snapshot, copy, settings.workers, progress)
        seconds = time.monotonic() - started
        for state in snapshot.tables:
            _compare(copy, state, snapshot.name)
        asked = sum(_ask(store, copy, state) for state in snapshot.tables)
    return DrillReport(
        snapshot=snapshot.name,
        tables=len(snapshot.tables),
        rows=sum(state.rows for state in snapshot.tables),
        queries=asked,
        files=len(snapshot.files),
        bytes=snapshot.bytes,
        seconds=round(seconds, 3),
        gib_per_second=round(snapshot.bytes / 2**30 / seconds, 4),
    )


def _compare(copy: Store, state: Held, snapshot: str) -> None:
    try:
        rows, total = checksum(batches(copy, state))
    except _UNREADABLE as error:
        raise SnapshotDamaged(
            f"{state.name} cannot be read from {snapshot}: {type(error).__name__}"
        ) from error
    if (rows, total) != (state.rows, state.checksum):
        raise SnapshotDamaged(
            f"{state.name} came back from {snapshot} with {rows} rows, checksum {total}; "
            f"there were {state.rows}, checksum {state.checksum}; take a new snapshot"
        )


def _ask(live: Store, copy: Store, state: State) -> int:
    """Search for some stored vectors in both homes; returns how many, 0 where there are none."""
    if state.kind != "lance":
        return 0
    restored = lance_table(copy, state.table, state.version)
    if "vector" not in restored.schema.names:
        return 0
    try:
        original = lance_table(live, state.table, state.version)
    except _UNREADABLE:
        return 0
    vectors = restored.search().select(["vector"]).limit(_QUERIES).to_arrow()["vector"]
    for vector in vectors.to_pylist():
        if _nearest(original, vector) != _nearest(restored, vector):
            raise SnapshotDamaged(
                f"{state.name} answers otherwise than in the live home; take a new snapshot"
            )
    return len(vectors)


def _nearest(table: Any, vector: list[float]) -> tuple[list[float], set[str]]:
    """Return the distances of the nearest rows, and which are nearer than the last of them."""
    query = table.search(vector, vector_column_name="vector").distance_type("cosine")
    found: pa.Table = query.limit(_NEIGHBOURS).select(["key", "_distance"]).to_arrow()
    keys, distances = found["key"].to_pylist(), found["_distance"].to_pylist()
    farthest = max(distances, default=0.0)
    nearer = {key for key, far in zip(keys, distances, strict=True) if far < farthest}
    return sorted(distances), nearer

"""Which items should be found in which channel, and what share of them is."""

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.channels import CHANNELS, Channel
from pipelines.outcomes import REFUSED
from pipelines.releases.candidate import at_version
from pipelines.releases.manifest import Manifest
from pipelines.store import Store
from pipelines.tables.facts import equals_any, quoted

REDACTED = "redacted_media"
COVERAGE = pa.schema([("name", pa.string()), ("items", pa.int64()), ("share", pa.float64())])
_PICTURES = ("image", "document")


def coverage(store: Store, manifest: Manifest, at: dt.datetime | None = None) -> pa.Table:
    """Return, by step and channel, how many items should have a row and what share of them does.

    What was refused for a reason is not expected; what failed is missing, even where an older row
    is still there. With `at`, only items that have not changed since that time are expected.
    """
    live = _live(store, at)
    alive = _without(live["item_id"], _outcomes(store, REFUSED, [REDACTED]))
    pictures = live.filter(pc.is_in(live["kind"], value_set=pa.array(_PICTURES)))["item_id"]
    failed = _outcomes(store, ["failed"], [REDACTED])
    redacted = _without(store.segments.read(["item_id"])["item_id"], failed)
    rows = [_row(REDACTED, alive, redacted)]
    for name, channel in CHANNELS.items():
        steps = _steps(channel)
        failed = _outcomes(store, ["failed"], steps)
        if (REDACTED in steps and channel.encoder == "image") or channel.after == "captions":
            failed = _within(failed, pictures)
        wanted = _both(_inputs(store, channel), failed)
        refused = _outcomes(store, REFUSED, steps)
        expected = _without(_within(alive, wanted), refused)
        rows.append(_row(name, expected, _without(_found(store, manifest, name), failed)))
    return pa.Table.from_pylist(rows, COVERAGE)


def _row(name: str, expected: pa.ChunkedArray, found: pa.ChunkedArray) -> dict[str, object]:
    share = len(_within(expected, found)) / len(expected) if len(expected) else 1.0
    return {"name": name, "items": len(expected), "share": share}


def _live(store: Store, at: dt.datetime | None) -> pa.Table:
    where = "NOT deleted"
    if at is not None:
        moment = f"TIMESTAMP {quoted(at.isoformat())}"
        where += f" AND (updated_at IS NULL OR updated_at <= {moment})"
    return store.items.read(["item_id", "kind"], where)


def _steps(channel: Channel) -> list[str]:
    """Return the steps at which an item can fail to get into a channel."""
    steps = [f"{channel.name}_embeddings", channel.after]
    return [*steps, REDACTED] if channel.after == "captions" else steps


def _inputs(store: Store, channel: Channel) -> pa.ChunkedArray:
    """Return the items that have something for a channel to embed."""
    texts = equals_any("source", channel.sources)
    if channel.sources != ("caption",) and channel.encoder == "text":
        return store.texts.read(["item_id"], f"text <> '' AND {texts}")["item_id"]
    pictures = store.segments.read(["item_id"], "derivative IS NOT NULL")["item_id"]
    if channel.encoder == "image":
        return pictures
    return _without(pictures, store.texts.read(["item_id"], f"text = '' AND {texts}")["item_id"])


def _outcomes(store: Store, statuses: Sequence[str], steps: Sequence[str]) -> pa.ChunkedArray:
    where = f"{equals_any('status', statuses)} AND {equals_any('step', steps)}"
    return store.outcomes.read(["item_id"], where)["item_id"]


def _found(store: Store, manifest: Manifest, name: str) -> pa.ChunkedArray:
    version = manifest.channels.get(name)
    if version is None:
        return pa.chunked_array([], pa.string())
    table = at_version(store, version.table, version.version)
    return table.search().select(["item_id"]).to_arrow()["item_id"]


def _within(ids: pa.ChunkedArray, those: pa.ChunkedArray) -> pa.ChunkedArray:
    return ids.filter(pc.is_in(ids, value_set=those.combine_chunks()))


def _without(ids: pa.ChunkedArray, those: pa.ChunkedArray) -> pa.ChunkedArray:
    return ids.filter(pc.invert(pc.is_in(ids, value_set=those.combine_chunks())))


def _both(ids: pa.ChunkedArray, more: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([*ids.chunks, *more.chunks], pa.string())

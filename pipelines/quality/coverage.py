"""Which items should be found in which channel, and what share of them is."""

import datetime as dt
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.channels import CHANNELS, Channel
from pipelines.outcomes import REFUSED
from pipelines.pipeline import READERS, upstream
from pipelines.releases.candidate import at_version
from pipelines.releases.manifest import Manifest
from pipelines.steps.embed import EmbedStep
from pipelines.steps.inputs import SEGMENT_KINDS
from pipelines.steps.keyframes import KeyframeStep
from pipelines.steps.transcribe import TranscriptStep
from pipelines.store import Store
from pipelines.tables.facts import equals_any, quoted

COVERAGE = pa.schema([("name", pa.string()), ("items", pa.int64()), ("share", pa.float64())])

# The items that each kind of encoder sees.
_SEEN = {
    "image": "kind <> 'text'",
    "sound": TranscriptStep.reads,
    "clip": KeyframeStep.reads,
    "text": "true",
}


def coverage(store: Store, manifest: Manifest, at: dt.datetime | None = None) -> pa.Table:
    """Return, by step and channel, how many items should have a row and what share of them does.

    What was refused for a reason is not expected; what failed is missing, even where an older row
    is still there. With `at`, only items that have not changed since that time are expected.
    """
    rows = []
    for step in READERS:
        expected = _without(_live(store, step.reads, at), _outcomes(store, REFUSED, [step.name]))
        failed = _outcomes(store, ["failed"], [step.name])
        made = store.segments.read(["item_id"], step.own())["item_id"]
        rows.append(_row(step.name, expected, _without(made, failed)))
    seen = {kind: _live(store, which, at) for kind, which in _SEEN.items()}
    for name, channel in CHANNELS.items():
        embedding = EmbedStep.name_of(channel)
        steps, live = {embedding, *upstream(embedding)}, seen[_looks_at(channel)]
        refused = _outcomes(store, REFUSED, steps)
        failed, wanted = _outcomes(store, ["failed"], steps), _inputs(store, channel)
        # What failed would have had something to embed; of metadata that is known.
        failed = _within(failed, wanted if "items" in channel.after else live)
        wanted = _both(wanted, failed)
        expected = _without(_within(live, wanted), refused)
        rows.append(_row(name, expected, _without(_found(store, manifest, name), failed)))
    return pa.Table.from_pylist(rows, COVERAGE)


def _looks_at(channel: Channel) -> str:
    """Return the kind of encoder that sees what a channel is about in the end."""
    described = {"caption": "image", "story": "clip"}
    return next((described[each] for each in channel.sources if each in described), channel.encoder)


def _row(name: str, expected: pa.ChunkedArray, found: pa.ChunkedArray) -> dict[str, object]:
    share = len(_within(expected, found)) / len(expected) if len(expected) else 1.0
    return {"name": name, "items": len(expected), "share": share}


def _live(store: Store, which: str, at: dt.datetime | None) -> pa.ChunkedArray:
    where = f"NOT deleted AND {which}"
    if at is not None:
        moment = f"TIMESTAMP {quoted(at.isoformat())}"
        where += f" AND (updated_at IS NULL OR updated_at <= {moment})"
    return store.items.read(["item_id"], where)["item_id"]


def _inputs(store: Store, channel: Channel) -> pa.ChunkedArray:
    """Return the items that have something for a channel to embed."""
    seen, texts = _looks_at(channel), equals_any("source", channel.sources)
    if seen == "text":
        return store.texts.read(["item_id"], f"text <> '' AND {texts}")["item_id"]
    parts = store.segments.read(["item_id"], equals_any("kind", SEGMENT_KINDS[seen]))["item_id"]
    if channel.encoder != "text":
        return parts
    return _without(parts, store.texts.read(["item_id"], f"text = '' AND {texts}")["item_id"])


def _outcomes(store: Store, statuses: Collection[str], steps: Collection[str]) -> pa.ChunkedArray:
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

"""What may be looked at and listened to of an item: its redacted derivatives, never its file."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.search.catalog import is_shown
from pipelines.search.engines.protocol import Allowed
from pipelines.store import Store
from pipelines.tables.facts import quoted

_MEDIA_TYPES = {".flac": "audio/flac", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class Derivative:
    """A stored derivative: the name of its blob, and what the bytes are."""

    blob: str
    media_type: str


@dataclass(frozen=True)
class Moment:
    """The segment that holds a moment; `offset_s` is where in its sound, `None` for a picture."""

    segment: str
    offset_s: float | None


def moment(store: Store, item_id: str, at_s: float, allowed: Allowed) -> Moment | None:
    """Return the piece of sound, or else the keyframe, that holds a moment of an item.

    `None` for an item that has neither, is not there or may not be seen.
    """
    if not is_shown(store, item_id, allowed):
        return None
    rows = store.segments.rows(
        ["segment", "kind", "start_s", "end_s"],
        f"item_id = {quoted(item_id)} AND kind IN ('sound', 'keyframe') AND derivative IS NOT NULL",
    )
    sounds = [row for row in rows if row["kind"] == "sound"]
    begun = sorted(sounds or rows, key=lambda row: row["start_s"])
    if not begun:
        return None
    # Pieces overlap: the last one that has begun goes on for longest.
    row = [each for each in begun if each["start_s"] <= at_s][-1:] or begun[:1]
    start_s, end_s = row[0]["start_s"], row[0]["end_s"]
    offset_s = min(max(at_s - start_s, 0.0), end_s - start_s) if sounds else None
    return Moment(row[0]["segment"], offset_s)


def derivative(store: Store, item_id: str, segment: str, allowed: Allowed) -> Derivative | None:
    """Return what is stored of a segment; `None` as in `moment`, and where nothing is."""
    if not is_shown(store, item_id, allowed):
        return None
    where = f"item_id = {quoted(item_id)} AND segment = {quoted(segment)}"
    names: Sequence[str | None] = store.segments.read(["derivative"], where)[0].to_pylist()
    for name in filter(None, names):
        if media_type := _MEDIA_TYPES.get(name[name.rfind(".") :]):
            return Derivative(name, media_type)
    return None

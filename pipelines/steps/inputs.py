"""What models read: pictures, sound and texts that were redacted, and the keyframes of a video."""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar, Protocol

import pyarrow as pa
from PIL import Image

from pipelines.channels import Channel
from pipelines.outcomes import residual
from pipelines.reading.sound import from_flac
from pipelines.steps.runner import WANTED, within
from pipelines.store import Store
from pipelines.tables.facts import equals_any, narrowed, quoted, select

SEGMENT_KINDS = {
    "image": ("image", "page", "keyframe"),
    "sound": ("sound",),
    "clip": ("keyframe",),
}
"""The kinds of segments that each kind of encoder looks at or listens to."""
TIMES = "coalesce('@' || CAST({0}.start_s AS VARCHAR) || '-' || CAST({0}.end_s AS VARCHAR), '')"
"""SQL for the times of a row, which are copied along like attributes."""
COPIED = f"i.attributes_hash || {TIMES} AS attributes_hash"
"""SQL for all that a searched row copies of its item and of what it is made from."""


class Inputs(Protocol):
    """Rows of which a step makes one row each."""

    def wanted(self, store: Store, version: str, batches: Collection[str] | None) -> pa.Table:
        """Return what a step of this version wants to make (`WANTED`)."""
        ...

    def rows(self, store: Store, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
        """Return the rows of a batch with the given keys."""
        ...

    def load(self, store: Store, row: dict[str, Any], model: Any) -> Any:
        """Read one row as its model takes it."""
        ...


@dataclass(frozen=True)
class Derivatives:
    """Segments of some kinds, by what is stored of them."""

    kinds: Sequence[str]

    def wanted(self, store: Store, version: str, batches: Collection[str] | None) -> pa.Table:
        """Return one row for each derivative of each live item (`WANTED`)."""
        return select(
            f"SELECT s.key, s.item_id, s.batch, '{version}-' || s.derivative AS recipe,"
            f" {COPIED.format('s')}"
            " FROM segments s JOIN items i ON s.item_id = i.item_id"
            f" WHERE NOT i.deleted AND {clean(store)} AND {equals_any('s.kind', self.kinds)}"
            f" AND {within(batches, 's.batch')} AND {within(batches, 'i.batch')}",
            WANTED,
            segments=store.segments,
            items=store.items,
        )

    def rows(self, store: Store, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
        """Return the segments of a batch with the given keys."""
        columns = ["key", "item_id", "segment", "page", "start_s", "end_s", "derivative"]
        where = f"batch = {quoted(batch)} AND {narrowed('key', keys)}"
        return [row for row in store.segments.rows(columns, where) if row["key"] in keys]


class Pictures(Derivatives):
    """Pictures, pages and keyframes."""

    def __init__(self) -> None:
        super().__init__(SEGMENT_KINDS["image"])

    def load(self, store: Store, row: dict[str, Any], model: Any) -> Any:
        """Decode a derivative into the model's input."""
        return model.prepare(open_picture(store, row["derivative"]))


class Sounds(Derivatives):
    """Pieces of sound."""

    def __init__(self) -> None:
        super().__init__(SEGMENT_KINDS["sound"])

    def load(self, store: Store, row: dict[str, Any], model: Any) -> Any:
        """Decode a derivative into the model's input."""
        return model.prepare(from_flac(store.blobs.get(row["derivative"])))


class Films:
    """Videos, each by its parts of one kind in the order of time.

    The parts are rows of `table` for which the SQL condition `which` holds; what `essence`, also
    SQL, says of them decides whether a row is to be made again.
    """

    segment: ClassVar[str] = "video"

    def __init__(self, table: str, which: str, essence: str, column: str):
        self._table, self._which, self._essence, self._column = table, which, essence, column

    def wanted(self, store: Store, version: str, batches: Collection[str] | None) -> pa.Table:
        """Return one row for each live video that has such parts (`WANTED`)."""
        parts = (
            "SELECT item_id, min(batch) AS batch, min(start_s) AS start_s, max(end_s) AS end_s,"
            f" md5(string_agg({self._essence}, ',' ORDER BY start_s)) AS essence"
            f" FROM parts WHERE {self._which} AND {within(batches)} GROUP BY item_id"
        )
        return select(
            f"SELECT s.item_id || '#{self.segment}' AS key, s.item_id, s.batch,"
            f" '{version}-' || s.essence AS recipe, {COPIED.format('s')}"
            f" FROM ({parts}) s JOIN items i ON s.item_id = i.item_id"
            f" WHERE NOT i.deleted AND {clean(store)} AND {within(batches, 'i.batch')}",
            WANTED,
            parts=store.facts[self._table],
            items=store.items,
        )

    def rows(self, store: Store, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
        """Return the videos of a batch with the given keys, their `parts` with second and value."""
        items = {key.removesuffix(f"#{self.segment}") for key in keys}
        where = f"batch = {quoted(batch)} AND {self._which} AND {narrowed('item_id', items)}"
        columns = ["item_id", "start_s", "end_s", self._column]
        found = store.facts[self._table].rows(columns, where)
        found.sort(key=lambda row: (row["item_id"], row["start_s"]))
        return [
            {
                "key": f"{item}#{self.segment}",
                "item_id": item,
                "segment": self.segment,
                "page": None,
                "start_s": parts[0]["start_s"],
                "end_s": parts[-1]["end_s"],
                "parts": [(row["start_s"], row[self._column]) for row in parts],
            }
            for item, group in groupby(found, key=lambda row: row["item_id"])
            if item in items and (parts := list(group))
        ]

    def load(self, store: Store, row: dict[str, Any], model: Any) -> Any:
        """Return the parts: they were read already."""
        return row["parts"]


class Clips(Films):
    """Videos, each by all its keyframes."""

    def __init__(self) -> None:
        super().__init__("segments", "kind = 'keyframe'", "derivative", "derivative")

    def load(self, store: Store, row: dict[str, Any], model: Any) -> Any:
        """Decode those keyframes of a video that the model looks at into its input."""
        return model.prepare(_Strip(store, [name for _, name in row["parts"]]))


@dataclass(frozen=True)
class _Strip(Sequence[Image.Image]):
    """Keyframes in order, each opened only when it is looked at."""

    store: Store
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, place: Any) -> Any:
        return open_picture(self.store, self.names[place])


@dataclass(frozen=True)
class Texts:
    """Redacted texts of some sources."""

    sources: Sequence[str]

    def wanted(self, store: Store, version: str, batches: Collection[str] | None) -> pa.Table:
        """Return one row for each text (`WANTED`).

        An item without segments did not pass redaction: not even its metadata may be found.
        """
        return select(
            f"SELECT t.key, t.item_id, t.batch, '{version}-' || t.text_hash AS recipe,"
            f" {COPIED.format('t')}"
            " FROM texts t JOIN items i ON t.item_id = i.item_id"
            f" WHERE NOT i.deleted AND {clean(store)} AND t.text <> ''"
            f" AND {equals_any('t.source', self.sources)}"
            f" AND {within(batches, 't.batch')} AND {within(batches, 'i.batch')}"
            f" AND t.item_id IN (SELECT item_id FROM segments WHERE {within(batches)})",
            WANTED,
            texts=store.texts,
            items=store.items,
            segments=store.segments,
        )

    def rows(self, store: Store, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
        """Return the texts of a batch with the given keys."""
        columns = ["key", "item_id", "segment", "source", "text", "page", "start_s", "end_s"]
        where = f"batch = {quoted(batch)} AND {narrowed('key', keys)}"
        return [row for row in store.texts.rows(columns, where) if row["key"] in keys]

    def load(self, store: Store, row: dict[str, Any], model: Any) -> str:
        """Return the text: it was read already."""
        return row["text"]


def clean(store: Store) -> str:
    """Return SQL for the items `i` in which no step still finds private data.

    The others are kept out as a whole, whichever step it was.
    """
    return f"NOT ({equals_any('i.item_id', residual(store.outcomes))})"


def inputs_of_channel(channel: Channel) -> Inputs:
    """Return what a channel embeds."""
    match channel.encoder:
        case "image":
            return Pictures()
        case "sound":
            return Sounds()
        case "clip":
            return Clips()
        case "text":
            return Texts(channel.sources)


def open_picture(store: Store, name: str) -> Image.Image:
    """Open a derivative; its pixels are decoded when first needed."""
    return Image.open(io.BytesIO(store.blobs.get(name)))


CODE = (Pictures.load, Sounds.load, Clips.load, _Strip, Texts.load, open_picture)
"""The code that decides what a model gets to see."""

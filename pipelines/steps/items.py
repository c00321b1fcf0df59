"""What is common to steps that read whole items: an item's rows in three tables, written together.

Several such steps may work on one item, each on parts of its own: the names of segments tell whose
a row is.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from pipelines.attributes import live
from pipelines.catalog.sources import locate
from pipelines.channels import READING
from pipelines.errors import MediadexError
from pipelines.outcomes import residual
from pipelines.recipes import digest, digest_file
from pipelines.steps.runner import EXISTING, WANTED, Input, within
from pipelines.store import Store
from pipelines.tables.facts import equals_any, narrowed, quoted, select

STREAMS_TOGETHER = 8
"""Files of sound or video whose rows are committed together: a kill loses these at most."""

_BLOCK = 1 << 20


@dataclass
class ItemRows:
    """Rows of one item by table; `media_s` is how long its sound or film lasts, in seconds."""

    segments: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    media_s: float = 0.0


class ItemStep:
    """A step whose unit is the item.

    `reads` is the SQL condition for the items that it reads, `parts` are what the names of its
    segments begin with.
    """

    # Reading is the work itself here: the next group must not start before this one is safe.
    loads_ahead = False
    together: int | None = None
    accelerated = False
    name: str
    store: Store
    reads: str
    parts: tuple[str, ...]
    sources: tuple[str, ...]

    def state(self) -> None:
        """Nothing: its rows are in Delta tables."""

    def existing(self, batches: Collection[str] | None) -> pa.Table:
        """Return the recipes of the items that have segments of this step."""
        # All of them are written together, so that any one tells.
        return select(
            "SELECT item_id AS key, min(batch) AS batch, min(recipe) AS recipe,"
            " '' AS attributes_hash"
            f" FROM segments WHERE {self.own()} AND {within(batches)} GROUP BY item_id",
            EXISTING,
            segments=self.store.segments,
        )

    def fetch(self, batch: str, rows: Mapping[str, str]) -> dict[str, Any]:
        """Return what is on record of items."""
        where = f"{live(batch)} AND {narrowed('item_id', rows)}"
        items = self.store.items.rows(where=where)
        return {item["item_id"]: item for item in items if item["item_id"] in rows}

    def compute(self, group: Sequence[Input], loaded: Sequence[ItemRows]) -> Sequence[ItemRows]:
        """Pass on what loading made."""
        return loaded

    def commit(self, group: Sequence[Input], results: Sequence[ItemRows]) -> None:
        """Write a group, segments last: an item with segments is one whose rows are complete."""
        where = f"batch = {quoted(group[0].batch)} AND " + equals_any(
            "item_id", [work.item_id for work in group]
        )
        read = f"{where} AND {self.own()} AND {equals_any('source', self.sources)}"
        self.store.findings.replace(read, [row for rows in results for row in rows.findings])
        self.store.texts.replace(read, [row for rows in results for row in rows.texts])
        self.store.segments.replace(
            f"{where} AND {self.own()}", [row for rows in results for row in rows.segments]
        )

    def refresh(self, unchanged: Sequence[Input]) -> None:
        """Nothing is copied along here."""

    def remove(self, keys: Sequence[str]) -> None:
        """Delete what an item left; downstream rows follow as their inputs are gone."""
        items = f"{equals_any('item_id', keys)} AND {self.own()}"
        read = f"{items} AND {equals_any('source', self.sources)}"
        self.store.segments.replace(items, [])
        self.store.texts.replace(read, [])
        self.store.findings.replace(read, [])

    @classmethod
    def own(cls) -> str:
        """Return the SQL condition for the rows of this step, by their segment's name."""
        return "(" + " OR ".join(f"segment LIKE {quoted(f'{part}%')}" for part in cls.parts) + ")"

    def _items(self, recipe: str, batches: Collection[str] | None) -> pa.Table:
        """Return one wanted row for each live item that the step reads.

        Of an item in which another step still finds private data, nothing is wanted.
        """
        others = [step for step in READING if step != self.name]
        kept_out = residual(self.store.outcomes, *others) - residual(self.store.outcomes, self.name)
        return select(
            f"SELECT item_id AS key, item_id, batch, '' AS attributes_hash, {recipe} AS recipe"
            f" FROM items WHERE NOT deleted AND {self.reads} AND {within(batches)}"
            f" AND NOT ({equals_any('item_id', kept_out)})",
            WANTED,
            items=self.store.items,
        )


def segment_row(
    work: Input,
    name: str,
    kind: str,
    page: int | None = None,
    span: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Return the row of a segment, a page or a span of seconds; the caller adds derivatives."""
    return {
        "key": f"{work.item_id}#{name}",
        "item_id": work.item_id,
        "batch": work.batch,
        "segment": name,
        "kind": kind,
        "page": page,
        "start_s": span and span[0],
        "end_s": span and span[1],
        "recipe": work.recipe,
    }


def text_row(
    segment: Mapping[str, Any], source: str, number: int, text: str, model: str
) -> dict[str, Any]:
    """Return the row of a text that was read in a segment."""
    copied = ("item_id", "batch", "segment", "page", "start_s", "end_s", "recipe")
    return {name: segment[name] for name in copied} | {
        "key": f"{segment['key']}@{source}-{number:03d}",
        "source": source,
        "text": text,
        "text_hash": digest(text),
        "model": model,
    }


def finding_row(
    segment: Mapping[str, Any], source: str, entity: str, score: float
) -> dict[str, Any]:
    """Return the row of a finding in a segment; the caller adds its place."""
    return {name: segment[name] for name in ("item_id", "batch", "segment", "recipe")} | {
        "source": source,
        "entity": entity,
        "score": score,
    }


@contextmanager
def original(item: Mapping[str, Any]) -> Iterator[BinaryIO]:
    """Open an item's bytes, from the first of its origins that still holds them.

    What does not lie on a disk is copied to one first, since decoders read here and there.
    """
    for origin in item["origins"]:
        files, path = locate(origin["uri"])
        if not files.exists(path):
            continue
        with files.open(path, "rb") as remote:
            if "file" in (
                files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)
            ):
                if digest_file(remote) == item["content_hash"]:
                    remote.seek(0)
                    yield remote
                    return
                continue
            with tempfile.TemporaryFile() as local:
                for block in iter(partial(remote.read, _BLOCK), b""):
                    local.write(block)
                if digest_file(local) == item["content_hash"]:
                    local.seek(0)
                    yield local
                    return
    raise MediadexError("its file is gone or changed since it was registered; index it again")

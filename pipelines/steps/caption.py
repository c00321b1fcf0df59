"""Captions of redacted pictures and pages, one row of text each."""

import io
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pipelines.models.batching import in_batches
from pipelines.models.protocols import Captioner
from pipelines.recipes import digest
from pipelines.settings import Settings
from pipelines.steps.runner import EXISTING, WANTED, Input, within
from pipelines.store import Store
from pipelines.tables.facts import equals_any, narrowed, quoted, select
from pipelines.versions import step_version

SOURCE = "caption"


class CaptionStep:
    """Describe every derivative with the caption model."""

    name = "captions"
    bounds = ""
    loads_ahead = True
    accelerated = True

    def __init__(self, store: Store, captioner: Captioner, settings: Settings):
        self.store = store
        self._captioner = captioner
        self._settings = settings

    @property
    def model(self) -> str:
        """Key of the caption model."""
        return self._captioner.identity.key

    def state(self) -> None:
        """Nothing: its rows are in Delta tables."""

    @property
    def version(self) -> str:
        """Version of code and model."""
        return step_version(self.name, CODE, self._captioner.identity)

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row per derivative."""
        rows = derivatives(self.store, self.version, batches)
        keys = pc.binary_join_element_wise(rows["key"], SOURCE, "@")
        rows = rows.set_column(0, "key", keys)
        # Captions keep no copy of attributes.
        return rows.set_column(4, "attributes_hash", pa.array([""] * len(rows), pa.string()))

    def existing(self, batches: Collection[str] | None) -> pa.Table:
        """Return the recipes of the captions on record."""
        return select(
            "SELECT key, batch, recipe, '' AS attributes_hash"
            f" FROM texts WHERE source = {quoted(SOURCE)} AND {within(batches)}",
            EXISTING,
            texts=self.store.texts,
        )

    def fetch(self, batch: str, rows: Mapping[str, str]) -> dict[str, Any]:
        """Return the segments that captions describe."""
        pictures = {key.removesuffix(f"@{SOURCE}") for key in rows}
        return {f"{row['key']}@{SOURCE}": row for row in segments_of(self.store, batch, pictures)}

    def load(self, work: Input) -> Any:
        """Decode a derivative into the model's input."""
        return self._captioner.prepare(open_blob(self.store, work.payload["derivative"]))

    def compute(self, group: Sequence[Input], loaded: Sequence[Any]) -> Sequence[str]:
        """Caption a group."""
        size = self._settings.encode_rows
        return [*chain.from_iterable(in_batches(self._captioner.caption_prepared, loaded, size))]

    def commit(self, group: Sequence[Input], results: Sequence[str]) -> None:
        """Write the captions of a group."""
        model = self._captioner.identity.as_json()
        rows = [
            {
                "key": work.key,
                "item_id": work.item_id,
                "batch": work.batch,
                "segment": work.payload["segment"],
                "source": SOURCE,
                "text": text,
                "text_hash": digest(text),
                "page": work.payload["page"],
                "start_s": work.payload["start_s"],
                "end_s": work.payload["end_s"],
                "model": model,
                "recipe": work.recipe,
            }
            for work, text in zip(group, results, strict=True)
        ]
        where = f"batch = {quoted(group[0].batch)} AND {equals_any('key', [w.key for w in group])}"
        self.store.texts.replace(where, rows)

    def refresh(self, unchanged: Sequence[Input]) -> None:
        """Nothing to rewrite: captions keep no copy of attributes."""

    def remove(self, keys: Sequence[str]) -> None:
        """Delete captions."""
        self.store.texts.replace(equals_any("key", keys), [])


def derivatives(store: Store, version: str, batches: Collection[str] | None) -> pa.Table:
    """Return what a step wants that makes one row of each picture of each live item (`WANTED`)."""
    return select(
        f"SELECT s.key, s.item_id, s.batch, '{version}-' || s.derivative AS recipe,"
        " i.attributes_hash"
        " FROM segments s JOIN items i ON s.item_id = i.item_id"
        " WHERE NOT i.deleted AND s.derivative IS NOT NULL"
        f" AND {within(batches, 's.batch')} AND {within(batches, 'i.batch')}",
        WANTED,
        segments=store.segments,
        items=store.items,
    )


def segments_of(store: Store, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
    """Return the segments of a batch with the given keys."""
    columns = ["key", "item_id", "segment", "page", "start_s", "end_s", "derivative"]
    where = f"batch = {quoted(batch)} AND {narrowed('key', keys)}"
    return [row for row in store.segments.rows(columns, where) if row["key"] in keys]


def open_blob(store: Store, name: str) -> Image.Image:
    """Open a derivative; its pixels are decoded when first needed."""
    return Image.open(io.BytesIO(store.blobs.get(name)))


CODE = (CaptionStep.load, CaptionStep.compute, open_blob)
"""The code that decides what a caption says, beside the model."""

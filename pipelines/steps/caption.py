"""Captions of redacted pictures and pages, one row of text each."""

import io
from collections.abc import Sequence
from itertools import chain
from typing import Any

from PIL import Image

from pipelines.attributes import live
from pipelines.models.batching import in_batches
from pipelines.models.protocols import Captioner
from pipelines.recipes import digest
from pipelines.settings import Settings
from pipelines.steps.runner import Existing, Input
from pipelines.store import Store
from pipelines.tables.facts import equals_any, quoted

VERSION = "1"
SOURCE = "caption"


class CaptionStep:
    """Describe every derivative with the caption model."""

    name = "captions"
    loads_ahead = True

    def __init__(self, store: Store, captioner: Captioner, settings: Settings):
        self.store = store
        self._captioner = captioner
        self._settings = settings

    def inputs(self, batch: str | None) -> list[Input]:
        """Return one input per derivative."""
        return [
            Input(
                key=f"{row['key']}@{SOURCE}",
                item_id=row["item_id"],
                batch=row["batch"],
                recipe=digest(SOURCE, VERSION, row["derivative"], self._captioner.identity.key),
                payload=row,
            )
            for row in derivatives(self.store, batch)
        ]

    def existing(self, batch: str | None) -> dict[str, tuple[str, Existing]]:
        """Return the recipes of the captions on record."""
        where = f"source = {quoted(SOURCE)}" + (f" AND batch = {quoted(batch)}" if batch else "")
        rows = self.store.texts.rows(["key", "batch", "recipe"], where)
        return {row["key"]: (row["batch"], Existing(row["recipe"])) for row in rows}

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
        """Captions copy no attributes."""

    def remove(self, keys: Sequence[str]) -> None:
        """Delete captions."""
        self.store.texts.replace(equals_any("key", keys), [])


def derivatives(store: Store, batch: str | None) -> list[dict[str, Any]]:
    """Return the segments of live items that have a picture, in stable order."""
    columns = ["key", "item_id", "batch", "segment", "page", "start_s", "end_s", "derivative"]
    where = "derivative IS NOT NULL" + (f" AND batch = {quoted(batch)}" if batch else "")
    alive = set(store.items.read(["item_id"], live(batch))["item_id"].to_pylist())
    rows = [row for row in store.segments.rows(columns, where) if row["item_id"] in alive]
    return sorted(rows, key=lambda row: row["key"])


def open_blob(store: Store, name: str) -> Image.Image:
    """Open a derivative; its pixels are decoded when first needed."""
    return Image.open(io.BytesIO(store.blobs.get(name)))

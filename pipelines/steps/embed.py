"""Vectors of one channel in its LanceDB table, and redacted passages in theirs."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from pipelines.attributes import read_attributes
from pipelines.channels import PASSAGE_SOURCES, Channel
from pipelines.models.batching import encode_in_batches, ensure_width
from pipelines.models.protocols import ImageEncoder, TextEncoder
from pipelines.settings import Settings
from pipelines.steps.caption import derivatives, open_blob, segments_of
from pipelines.steps.runner import EXISTING, WANTED, Input, within
from pipelines.store import Store
from pipelines.tables.facts import equals_any, narrowed, quoted, select
from pipelines.tables.vectors import SearchTable
from pipelines.versions import step_version


class _SearchStep:
    """What is common to rows in LanceDB: keyed, with copied attributes."""

    loads_ahead = True
    bounds = ""
    accelerated: bool
    name: str
    store: Store
    table: SearchTable

    def state(self) -> tuple[str, int | None]:
        """Return name and version of the table."""
        opened = self.table.open()
        return self.table.name, None if opened is None else opened.version

    def existing(self, batches: Collection[str] | None) -> pa.Table:
        """Return the recipes of the rows on record."""
        where = None if batches is None else within(batches)
        return self.table.read(EXISTING.names, where).select(EXISTING.names)

    def fetch(self, batch: str, rows: Mapping[str, str]) -> dict[str, Any]:
        """Return segment or text, and the attributes of its item, of each row."""
        items = f"batch = {quoted(batch)} AND {narrowed('item_id', set(rows.values()))}"
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read_attributes, self.store, items)
            sources, attributes = self._sources(batch, rows.keys()), reading.result()
        return {
            source["key"]: (source, attributes[source["item_id"]])
            for source in sources
            if source["item_id"] in attributes
        }

    def _sources(self, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
        raise NotImplementedError

    def remove(self, keys: Sequence[str]) -> None:
        """Delete rows."""
        self.table.remove(keys)

    @staticmethod
    def _row(work: Input) -> dict[str, Any]:
        segment, attributes = work.payload
        return {
            "key": work.key,
            "batch": work.batch,
            "segment": segment["segment"],
            "page": segment["page"],
            "start_s": segment["start_s"],
            "end_s": segment["end_s"],
            "recipe": work.recipe,
            "attributes_hash": work.attributes_hash,
            **attributes.values,
        }


class EmbedStep(_SearchStep):
    """Encode the rows of one channel."""

    accelerated = True

    def __init__(
        self,
        channel: Channel,
        store: Store,
        encoder: TextEncoder | ImageEncoder,
        settings: Settings,
    ):
        self.name = self.name_of(channel)
        self.channel = channel
        self.store = store
        self.table = store.channel(channel.name, encoder.identity)
        self._encoder = encoder
        self._settings = settings

    @staticmethod
    def name_of(channel: Channel) -> str:
        """Return the name of a channel's step."""
        return f"{channel.name}_embeddings"

    @property
    def model(self) -> str:
        """Key of the encoder."""
        return self._encoder.identity.key

    @property
    def version(self) -> str:
        """Version of code and encoder."""
        return step_version("embeddings", CODE, self._encoder.identity)

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row per derivative or redacted text of the channel."""
        if self.channel.encoder == "image":
            return derivatives(self.store, self.version, batches)
        return _texts(self.store, self.version, self.channel.sources, batches)

    def _sources(self, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
        if self.channel.encoder == "image":
            return segments_of(self.store, batch, keys)
        return _texts_of(self.store, batch, keys)

    def load(self, work: Input) -> Any:
        """Decode a derivative into the model's input; texts are there already."""
        segment, _ = work.payload
        if self.channel.encoder == "image":
            return self._encoder.prepare(open_blob(self.store, segment["derivative"]))  # type: ignore[union-attr]
        return segment["text"]

    def compute(self, group: Sequence[Input], loaded: Sequence[Any]) -> Any:
        """Encode a group: float32 (rows, dimension)."""
        encode = (
            self._encoder.encode_prepared  # type: ignore[union-attr]
            if self.channel.encoder == "image"
            else self._encoder.encode_texts
        )
        vectors = encode_in_batches(encode, loaded, self._settings.encode_rows)
        ensure_width(vectors, self._encoder.identity)
        return vectors

    def commit(self, group: Sequence[Input], results: Any) -> None:
        """Write a group's vectors."""
        self._upsert(group, list(results))

    def refresh(self, unchanged: Sequence[Input]) -> None:
        """Copy new attributes beside vectors that stay as they are."""
        vectors = self.table.vectors([work.key for work in unchanged])
        self._upsert(unchanged, [vectors[work.key] for work in unchanged])

    def _upsert(self, group: Sequence[Input], vectors: Sequence[Any]) -> None:
        identity = self._encoder.identity.as_json()
        self.table.upsert(
            [
                self._row(work) | {"identity": identity, "vector": vector}
                for work, vector in zip(group, vectors, strict=True)
            ]
        )


class PassageStep(_SearchStep):
    """Put every redacted text that someone wrote where BM25 finds it."""

    name = "passages"
    model = ""
    accelerated = False

    def __init__(self, store: Store):
        self.store = store
        self.table = store.passages

    @property
    def version(self) -> str:
        """Version of the code."""
        return step_version(self.name, PASSAGE_CODE)

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row per redacted text."""
        return _texts(self.store, self.version, PASSAGE_SOURCES, batches)

    def _sources(self, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
        return _texts_of(self.store, batch, keys)

    def load(self, work: Input) -> Any:
        """Return the text."""
        return work.payload[0]["text"]

    def compute(self, group: Sequence[Input], loaded: Sequence[str]) -> Sequence[str]:
        """Pass the texts on: there is no model here."""
        return loaded

    def commit(self, group: Sequence[Input], results: Sequence[str]) -> None:
        """Write a group's passages."""
        self.table.upsert(
            [
                self._row(work) | {"source": work.payload[0]["source"], "text": text}
                for work, text in zip(group, results, strict=True)
            ]
        )

    def refresh(self, unchanged: Sequence[Input]) -> None:
        """Copy new attributes."""
        self.commit(unchanged, [self.load(work) for work in unchanged])


def _texts(
    store: Store, version: str, sources: Sequence[str], batches: Collection[str] | None
) -> pa.Table:
    """Return one wanted row for each text of some sources (`WANTED`).

    An item without segments did not pass redaction: not even its metadata may be found.
    """
    return select(
        f"SELECT t.key, t.item_id, t.batch, '{version}-' || t.text_hash AS recipe,"
        " i.attributes_hash FROM texts t JOIN items i ON t.item_id = i.item_id"
        f" WHERE NOT i.deleted AND t.text <> '' AND {equals_any('t.source', sources)}"
        f" AND {within(batches, 't.batch')} AND {within(batches, 'i.batch')}"
        f" AND t.item_id IN (SELECT item_id FROM segments WHERE {within(batches)})",
        WANTED,
        texts=store.texts,
        items=store.items,
        segments=store.segments,
    )


def _texts_of(store: Store, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
    columns = ["key", "item_id", "segment", "source", "text", "page", "start_s", "end_s"]
    where = f"batch = {quoted(batch)} AND {narrowed('key', keys)}"
    return [row for row in store.texts.rows(columns, where) if row["key"] in keys]


CODE = (EmbedStep.load, EmbedStep.compute, open_blob)
"""The code that decides a vector, beside the encoder."""
PASSAGE_CODE = (PassageStep.load, PassageStep.compute)

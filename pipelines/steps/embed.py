"""Vectors of one channel in its LanceDB table, and redacted passages in theirs."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.attributes import Attributes, read_attributes
from pipelines.channels import PASSAGE_SOURCES, Channel
from pipelines.models.batching import encode_in_batches, ensure_width
from pipelines.models.protocols import ImageEncoder, TextEncoder
from pipelines.recipes import digest
from pipelines.settings import Settings
from pipelines.steps.caption import derivatives, open_blob
from pipelines.steps.runner import Existing, Input
from pipelines.store import Store
from pipelines.tables.facts import equals_any, quoted
from pipelines.tables.vectors import SearchTable

VERSION = "1"


class _SearchStep:
    """What is common to rows in LanceDB: keyed, with copied attributes."""

    loads_ahead = True
    name: str
    store: Store
    table: SearchTable

    def existing(self, batch: str | None) -> dict[str, tuple[str, Existing]]:
        """Return the recipes of the rows on record."""
        rows = self.table.rows(["key", "batch", "recipe", "attributes_hash"], batch)
        return {
            row["key"]: (row["batch"], Existing(row["recipe"], row["attributes_hash"]))
            for row in rows
        }

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

    def inputs(self, batch: str | None) -> list[Input]:
        """Return one input per derivative or redacted text of the channel."""
        attributes = read_attributes(self.store, batch)
        if self.channel.encoder == "image":
            rows = derivatives(self.store, batch)
            return _inputs(rows, "derivative", self._encoder.identity.key, attributes)
        rows = _texts(self.store, batch, self.channel.sources)
        return _inputs(rows, "text_hash", self._encoder.identity.key, attributes)

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

    def __init__(self, store: Store):
        self.store = store
        self.table = store.passages

    def inputs(self, batch: str | None) -> list[Input]:
        """Return one input per redacted text."""
        rows = _texts(self.store, batch, PASSAGE_SOURCES)
        return _inputs(rows, "text_hash", self.name, read_attributes(self.store, batch))

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


def _texts(store: Store, batch: str | None, sources: Sequence[str]) -> list[dict[str, Any]]:
    columns = ["key", "item_id", "batch", "segment", "source", "text", "text_hash", "page"]
    conditions = ["text <> ''", equals_any("source", sources)]
    if batch:
        conditions.append(f"batch = {quoted(batch)}")
    rows = store.texts.rows([*columns, "start_s", "end_s"], " AND ".join(conditions))
    # An item without segments did not pass redaction: not even its metadata may be found.
    where = f"batch = {quoted(batch)}" if batch else None
    passed = set(store.segments.read(["item_id"], where)["item_id"].to_pylist())
    return sorted((row for row in rows if row["item_id"] in passed), key=lambda row: row["key"])


def _inputs(
    rows: Sequence[Mapping[str, Any]],
    made_from: str,
    identity: str,
    attributes: Mapping[str, Attributes],
) -> list[Input]:
    """Return the inputs for the rows of live items; `made_from` names the hash they depend on."""
    return [
        Input(
            key=row["key"],
            item_id=row["item_id"],
            batch=row["batch"],
            recipe=digest(VERSION, row[made_from], identity),
            payload=(row, attributes[row["item_id"]]),
            attributes_hash=attributes[row["item_id"]].key,
        )
        for row in rows
        if row["item_id"] in attributes
    ]

"""Vectors of one channel in its LanceDB table, and redacted passages in theirs."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from pipelines.attributes import read_attributes
from pipelines.channels import PASSAGE_SOURCES, Channel
from pipelines.models.batching import encode_in_batches, ensure_width
from pipelines.models.protocols import ChannelEncoder
from pipelines.privacy.masks import MASK
from pipelines.settings import Settings
from pipelines.steps import inputs
from pipelines.steps.inputs import Inputs, Texts, inputs_of_channel
from pipelines.steps.runner import EXISTING, Input, within
from pipelines.store import Store
from pipelines.tables.facts import narrowed, quoted
from pipelines.tables.vectors import SearchTable
from pipelines.versions import step_version

_NO_WORD = "█"  # the full-text index has no word for it


class _SearchStep:
    """What is common to rows in LanceDB: keyed, with copied attributes."""

    loads_ahead = True
    together: int | None = None
    bounds = ""
    accelerated: bool
    name: str
    store: Store
    table: SearchTable
    inputs: Inputs

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
            sources, attributes = self.inputs.rows(self.store, batch, rows.keys()), reading.result()
        return {
            source["key"]: (source, attributes[source["item_id"]])
            for source in sources
            if source["item_id"] in attributes
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

    accelerated = True

    def __init__(
        self,
        channel: Channel,
        store: Store,
        encoder: ChannelEncoder,
        settings: Settings,
    ):
        self.name = self.name_of(channel)
        self.channel = channel
        self.store = store
        self.table = store.channel(channel.name, encoder.identity)
        self.inputs = inputs_of_channel(channel)
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
        """Return one row for each of the channel's inputs."""
        return self.inputs.wanted(self.store, self.version, batches)

    def load(self, work: Input) -> Any:
        """Read one input as the encoder takes it."""
        return self.inputs.load(self.store, work.payload[0], self._encoder)

    def compute(self, group: Sequence[Input], loaded: Sequence[Any]) -> Any:
        """Encode a group: float32 (rows, dimension)."""
        encoder: Any = self._encoder
        encode = encoder.encode_texts if self.channel.encoder == "text" else encoder.encode_prepared
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
        self.inputs = Texts(PASSAGE_SOURCES)

    @property
    def version(self) -> str:
        """Version of the code."""
        return step_version(self.name, PASSAGE_CODE)

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row per redacted text."""
        return self.inputs.wanted(self.store, self.version, batches)

    def load(self, work: Input) -> Any:
        """Return the text; what stands for something private is no word to be found by."""
        return MASK.sub(_NO_WORD, work.payload[0]["text"])

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


CODE = (EmbedStep.load, EmbedStep.compute, *inputs.CODE)
"""The code that decides a vector, beside the encoder."""
PASSAGE_CODE = (PassageStep.load, PassageStep.compute)

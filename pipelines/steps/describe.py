"""Steps that say in words what one input shows or how it sounds: one row of text each."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.recipes import digest
from pipelines.steps.inputs import TIMES, Inputs
from pipelines.steps.runner import EXISTING, Input, within
from pipelines.store import Store
from pipelines.tables.facts import equals_any, quoted, select


class DescribeStep:
    """One text of kind `source` for each of its inputs."""

    bounds = ""
    loads_ahead = True
    together: int | None = None
    accelerated = True
    name: str
    source: str
    store: Store
    inputs: Inputs

    @property
    def model(self) -> str:
        """Key of the model, empty where there is none."""
        return ""

    @property
    def version(self) -> str:
        """Version of code and model."""
        raise NotImplementedError

    def state(self) -> None:
        """Nothing: its rows are in Delta tables."""

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row for each input."""
        rows = self.inputs.wanted(self.store, self.version, batches)
        keys = pc.binary_join_element_wise(rows["key"], self.source, "@")
        # These texts copy the times of their inputs, and nothing of the item's attributes.
        times = pc.replace_substring_regex(rows["attributes_hash"], "^[^@]*", "")
        return rows.set_column(0, "key", keys).set_column(4, "attributes_hash", times)

    def existing(self, batches: Collection[str] | None) -> pa.Table:
        """Return the recipes of the texts on record."""
        return select(
            f"SELECT key, batch, recipe, {TIMES.format('t')} AS attributes_hash"
            f" FROM texts t WHERE source = {quoted(self.source)} AND {within(batches)}",
            EXISTING,
            texts=self.store.texts,
        )

    def fetch(self, batch: str, rows: Mapping[str, str]) -> dict[str, Any]:
        """Return the inputs that texts describe."""
        described = {key.removesuffix(f"@{self.source}") for key in rows}
        found = self.inputs.rows(self.store, batch, described)
        return {f"{row['key']}@{self.source}": row for row in found}

    def identity(self) -> str:
        """Return what is noted of the model, as JSON or a plain word."""
        raise NotImplementedError

    def commit(self, group: Sequence[Input], results: Sequence[str]) -> None:
        """Write the texts of a group."""
        model = self.identity()
        copied = ("segment", "page", "start_s", "end_s")
        rows = [
            {
                "key": work.key,
                "item_id": work.item_id,
                "batch": work.batch,
                "source": self.source,
                "text": text,
                "text_hash": digest(text),
                "model": model,
                "recipe": work.recipe,
            }
            | {name: work.payload[name] for name in copied}
            for work, text in zip(group, results, strict=True)
        ]
        self.store.texts.replace(self._of(group), rows)

    def refresh(self, unchanged: Sequence[Input]) -> None:
        """Copy new times beside texts that stay as they are."""
        inputs = {work.key: work.payload for work in unchanged}
        rows = self.store.texts.rows(where=self._of(unchanged))
        times = ("start_s", "end_s")
        self.store.texts.replace(
            self._of(unchanged),
            [row | {name: inputs[row["key"]][name] for name in times} for row in rows],
        )

    def remove(self, keys: Sequence[str]) -> None:
        """Delete texts."""
        self.store.texts.replace(equals_any("key", keys), [])

    @staticmethod
    def _of(group: Sequence[Input]) -> str:
        keys = equals_any("key", [work.key for work in group])
        return f"batch = {quoted(group[0].batch)} AND {keys}"

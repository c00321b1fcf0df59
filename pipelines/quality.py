"""What must hold of every table, as Great Expectations suites, and the rows they look at.

Only the number of failing values leaves here, never one of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.channels import CHANNELS, PASSAGE_SOURCES, Channel
from pipelines.errors import ResidualFinding
from pipelines.models.suite import ModelSuite
from pipelines.recipes import digest
from pipelines.releases import latest
from pipelines.store import Store
from pipelines.tables.facts import FactTable, equals_any, quoted
from pipelines.tables.schemas import ITEMS
from pipelines.tables.vectors import SearchTable

VERSION = "1"
_KINDS = ("image", "document", "text", "audio", "video")
_SOURCES = {*PASSAGE_SOURCES, *(name for channel in CHANNELS.values() for name in channel.sources)}
# Coarser than the detector and apart from it: what it should never have let through.
_SSN = r"(?:^|[^\w-])\d{3}-\d{2}-\d{4}(?:$|[^\w-])"
_EMAIL = r"[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,24}\b"
_UNIT = 1e-3


@dataclass(frozen=True)
class Subject:
    """Something to inspect: its expectations, its rows, and the versions that these depend on."""

    name: str
    description: str
    expectations: Callable[[], list[Any]]
    rows: Callable[[Store, ModelSuite], pa.Table]
    state: Callable[[Store, ModelSuite], Sequence[Any]]
    # Without any rows there is nothing to find fault with, unless there should be some.
    required: bool = False

    def version(self, store: Store, models: ModelSuite) -> str:
        """Return a digest that changes whenever another inspection could end otherwise."""
        return digest(VERSION, self.name, *map(str, self.state(store, models)))


@dataclass(frozen=True)
class Verdict:
    """How one expectation ended; `unexpected` counts the values that fail it."""

    expectation: str
    column: str
    success: bool
    unexpected: int
    critical: bool


def inspect(subject: Subject, rows: pa.Table) -> list[Verdict]:
    """Validate rows against the expectations of a subject; no rows, no verdicts."""
    if not rows.num_rows:
        return []
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset(subject.name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
        batch_parameters={"dataframe": rows.to_pandas(types_mapper=pd.ArrowDtype)}
    )
    # The default format would keep samples of the failing values.
    counts_only = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
    suite = gx.ExpectationSuite(subject.name, expectations=subject.expectations())
    results = batch.validate(suite, result_format=counts_only).results
    return sorted(map(_verdict, results), key=lambda verdict: (verdict.column, verdict.expectation))


def _verdict(result: Any) -> Verdict:
    expected = result.expectation_config
    words = expected.type.removeprefix("expect_").replace("_", " ")
    kind = expected.kwargs.get("meaning") or (expected.meta or {}).get("meaning") or words
    return Verdict(
        expectation=kind,
        column=expected.kwargs.get("column", ""),
        success=result.success,
        unexpected=int(result.result.get("unexpected_count") or (0 if result.success else 1)),
        critical=expected.severity == "critical",
    )


# --- Expectations --------------------------------------------------------------------------------


def _keyed(gxe: Any, column: str) -> list[Any]:
    return [gxe.ExpectColumnValuesToNotBeNull(column=column), gxe.ExpectColumnValuesToBeUnique(column=column)]


def _items_hold() -> list[Any]:
    from great_expectations import expectations as gxe

    return [
        gxe.ExpectTableColumnsToMatchSet(column_set=ITEMS.names),
        *_keyed(gxe, "item_id"),
        gxe.ExpectColumnValuesToNotBeNull(column="batch"),
        gxe.ExpectColumnValuesToMatchRegex(column="batch", regex=r"^\d{4}-\d{2}-\d{2}\.\d{3,}$"),
        gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=list(_KINDS)),
        gxe.ExpectColumnValuesToBeBetween(column="size", min_value=1),
        gxe.ExpectColumnValueLengthsToEqual(column="content_hash", value=32),
    ]

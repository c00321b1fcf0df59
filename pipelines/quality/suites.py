"""What is expected of the rows of each table, as Great Expectations suites.

Only the number of failing values leaves here, never one of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.channels import CHANNELS, PASSAGE_SOURCES
from pipelines.tables.schemas import ITEMS

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

SOURCES = sorted(
    {*PASSAGE_SOURCES, *(source for channel in CHANNELS.values() for source in channel.sources)}
)
_KINDS = ("image", "document", "text", "audio", "video")
_PICTURES = ["image", "page", "keyframe"]
_SEGMENT_KINDS = [*_PICTURES, "text", "sound"]
# Apart from the detector and coarser than it: what it should never have let through.
_PRIVATE = {
    "no social security number": r"(?:^|[^\w-])\d{3}-\d{2}-\d{4}(?:$|[^\w-])",
    "no e-mail address": r"[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,24}\b",
}
_UNIT = 1e-3


@dataclass(frozen=True)
class Verdict:
    """How one expectation ended; `unexpected` counts the values that fail it."""

    expectation: str
    column: str
    success: bool
    unexpected: int
    critical: bool


def inspect(suite: Callable[[], "ExpectationSuite"], rows: pa.Table) -> list[Verdict]:
    """Hold rows against a suite. Without rows there is nothing to find fault with."""
    if not rows.num_rows:
        return []
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
        batch_parameters={"dataframe": rows.to_pandas(types_mapper=pd.ArrowDtype)}
    )
    # The default format keeps samples of the failing values.
    counts_only = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
    results = batch.validate(suite(), result_format=counts_only).results
    return sorted(map(_verdict, results), key=lambda verdict: (verdict.column, verdict.expectation))


def _verdict(result: Any) -> Verdict:
    expected = result.expectation_config
    words = expected.type.removeprefix("expect_").removeprefix("column_").replace("_", " ")
    return Verdict(
        expectation=expected.description or words,
        column=expected.kwargs.get("column", ""),
        success=result.success,
        unexpected=0 if result.success else int(result.result.get("unexpected_count") or 1),
        critical=expected.severity.value == "critical",
    )


def items_suite() -> "ExpectationSuite":
    """Items are known by one id, stand in a batch and were read whole."""
    gxe = _gxe()
    return _suite(
        "items",
        gxe.ExpectTableColumnsToMatchSet(
            column_set=ITEMS.names, description="the columns of the contract"
        ),
        *_key("item_id"),
        *_present("batch", "kind", "content_hash"),
        gxe.ExpectColumnValuesToMatchRegex(column="batch", regex=r"^\d{4}-\d{2}-\d{2}\.\d{3,}$"),
        gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=list(_KINDS)),
        gxe.ExpectColumnValuesToBeBetween(column="size", min_value=1),
        gxe.ExpectColumnValueLengthsToEqual(column="content_hash", value=32),
    )


def segments_suite() -> "ExpectationSuite":
    """Every picture or page has its redacted derivative; refused items have nothing at all."""
    from great_expectations.expectations.row_conditions import Column

    gxe = _gxe()
    return _suite(
        "segments",
        *_key("key"),
        *_present("item_id", "batch", "recipe"),
        gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=_SEGMENT_KINDS),
        *(
            gxe.ExpectColumnValuesToNotBeNull(
                column=column,
                row_condition=Column("kind").is_in(kinds),
                description=f"every {what} has a {column}",
            )
            for column, kinds, what in (
                ("derivative", [*_PICTURES, "sound"], "picture and piece of sound"),
                ("thumbnail", _PICTURES, "picture"),
            )
        ),
        _none_refused(),
    )


def texts_suite() -> "ExpectationSuite":
    """Texts are there, redacted, and of items that could be redacted."""
    gxe = _gxe()
    return _suite(
        "texts",
        *_key("key"),
        *_present("text", "text_hash", "recipe"),
        gxe.ExpectColumnValuesToBeInSet(column="source", value_set=SOURCES),
        gxe.ExpectColumnValuesToBeBetween(column="confidence", min_value=0, max_value=1),
        *_redacted("text"),
        _none_refused(),
    )


def vectors_suite() -> "ExpectationSuite":
    """Vectors are of unit length and of one encoder."""
    gxe = _gxe()
    return _suite(
        "vectors",
        *_key("key"),
        *_present("item_id", "batch", "recipe", "identity"),
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="identity", max_value=1, description="one encoder identity"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="norm", min_value=1 - _UNIT, max_value=1 + _UNIT, description="unit length"
        ),
        gxe.ExpectColumnValuesToNotBeNull(column="norm"),
    )


def passages_suite() -> "ExpectationSuite":
    """Passages say something, and nothing private."""
    return _suite(
        "passages",
        *_key("key"),
        *_present("text", "source", "recipe"),
        *_redacted("text"),
    )


def coverage_suite() -> "ExpectationSuite":
    """What should be found in the release can be."""
    gxe = _gxe()
    return _suite(
        "coverage",
        gxe.ExpectColumnValuesToBeBetween(
            column="share", min_value=1, severity="warning", description="nothing is missing"
        ),
    )


def failures_suite() -> "ExpectationSuite":
    """Few rows fail: at each step at most one in a thousand, and never five."""
    gxe = _gxe()
    return _suite(
        "failures",
        gxe.ExpectColumnValuesToBeBetween(
            column="share", max_value=0.001, severity="warning", description="at most 0.1 % failed"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="share", max_value=0.005, severity="critical", description="at most 0.5 % failed"
        ),
    )


def _gxe() -> Any:
    import great_expectations.expectations as gxe

    return gxe


def _suite(name: str, *expectations: Any) -> "ExpectationSuite":
    import great_expectations as gx

    return gx.ExpectationSuite(name, expectations=list(expectations))


def _key(column: str) -> list[Any]:
    gxe = _gxe()
    return [*_present(column), gxe.ExpectColumnValuesToBeUnique(column=column)]


def _present(*columns: str) -> list[Any]:
    gxe = _gxe()
    return [gxe.ExpectColumnValuesToNotBeNull(column=column) for column in columns]


def _redacted(column: str) -> list[Any]:
    gxe = _gxe()
    return [
        gxe.ExpectColumnValuesToNotMatchRegex(column=column, regex=pattern, description=meaning)
        for meaning, pattern in _PRIVATE.items()
    ]


def _none_refused() -> Any:
    gxe = _gxe()
    return gxe.ExpectColumnValuesToBeInSet(
        column="refused", value_set=[False], description="nothing of an item that was refused"
    )

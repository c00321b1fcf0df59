"""What must hold of every table, as Great Expectations suites, and the rows that they look at.

Only the number of failing values leaves here, never one of them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from pipelines.channels import CHANNELS, PASSAGE_SOURCES, Channel
from pipelines.errors import ResidualFinding
from pipelines.models.suite import ModelSuite
from pipelines.recipes import digest
from pipelines.releases import Manifest, latest
from pipelines.store import Store
from pipelines.tables.facts import FactTable, equals_any, quoted
from pipelines.tables.schemas import ITEMS
from pipelines.tables.vectors import SearchTable

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

VERSION = "1"
_KINDS = ("image", "document", "text", "audio", "video")
_SEGMENT_KINDS = ("image", "page", "text")
_FACTS = ("items", "segments", "texts", "outcomes")
# Apart from the detector and coarser than it: what it should never have let through.
_PRIVATE = {
    "no social security number": r"(?:^|[^\w-])\d{3}-\d{2}-\d{4}(?:$|[^\w-])",
    "no e-mail address": r"[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,24}\b",
}
_UNIT = 1e-3


@dataclass(frozen=True)
class Subject:
    """Something to inspect: what must hold of which rows, and the versions these are read from.

    A `required` one is at fault where there is nothing at all.
    """

    asset: str
    name: str
    description: str
    suite: Callable[[], "ExpectationSuite"]
    rows: Callable[[Store, ModelSuite], pa.Table]
    versions: Callable[[Store, ModelSuite], Iterable[Any]]
    required: bool = False

    def state(self, store: Store, models: ModelSuite) -> str:
        """Return a digest that changes whenever another inspection could end differently."""
        return digest(VERSION, *map(str, self.versions(store, models)))


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


# --- Suites --------------------------------------------------------------------------------------


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
        gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=list(_SEGMENT_KINDS)),
        *(
            gxe.ExpectColumnValuesToNotBeNull(
                column=column,
                row_condition=Column("kind").is_in(["image", "page"]),
                description=f"every picture and page has a {column}",
            )
            for column in ("derivative", "thumbnail")
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
        gxe.ExpectColumnValuesToBeInSet(column="source", value_set=_sources()),
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


# --- Rows ----------------------------------------------------------------------------------------


def _items(store: Store) -> pa.Table:
    """Read the columns that are stored rather than those of the contract."""
    if store.items.version is None:
        return ITEMS.empty_table()
    options = store.items.storage_options
    stored = pa.schema(DeltaTable(store.items.uri, storage_options=options).schema().to_arrow())
    return FactTable(store.items.uri, stored, options).read(where="deleted = false")


def _segments(store: Store) -> pa.Table:
    columns = ["key", "item_id", "batch", "kind", "derivative", "thumbnail", "recipe"]
    return _marked(store, store.segments.read(columns))


def _texts(store: Store, sources: Sequence[str]) -> pa.Table:
    columns = ["key", "item_id", "source", "text", "text_hash", "confidence", "recipe"]
    return _marked(store, store.texts.read(columns, equals_any("source", sources)))


def _marked(store: Store, table: pa.Table) -> pa.Table:
    """Mark what was made from items in which private data was still found after redaction."""
    where = f"error = {quoted(ResidualFinding.__name__)}"
    refused = store.outcomes.read(["item_id"], where)["item_id"].combine_chunks()
    marks = pc.is_in(table["item_id"], value_set=refused)
    if "source" in table.column_names:  # what stands beside an item is redacted on its own
        marks = pc.and_(marks, pc.not_equal(table["source"], "meta"))
    return table.append_column("refused", marks)


def _vectors(table: SearchTable) -> pa.Table:
    """Read a channel's rows with the length of each vector in its place."""
    columns = ["key", "item_id", "batch", "recipe", "identity"]
    schema = pa.schema([*(pa.field(name, pa.string()) for name in columns), ("norm", pa.float64())])
    opened = table.open()
    if opened is None:
        return schema.empty_table()
    batches = opened.search().select([*columns, "vector"]).to_batches()
    return pa.Table.from_batches([_measured(batch, schema) for batch in batches], schema)


def _measured(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    vectors = batch["vector"]
    values = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, vectors.type.list_size)
    norms = np.full(len(vectors), np.nan)
    norms[vectors.is_valid().to_numpy(zero_copy_only=False)] = np.linalg.norm(values, axis=1)
    columns = [batch[name] for name in schema.names[:-1]]
    return pa.record_batch([*columns, pa.array(norms, from_pandas=True)], schema=schema)


def _passages(table: SearchTable) -> pa.Table:
    columns = ["key", "source", "text", "recipe"]
    return pa.Table.from_pylist(
        table.rows(columns), pa.schema([(name, pa.string()) for name in columns])
    )


def coverage(store: Store) -> pa.Table:
    """Return, by step and channel, how many items should have a row and what share of them does.

    Channels are counted as the latest release has them; without one the table is empty.
    """
    rows = []
    manifest = latest(store)
    if manifest is not None:
        expected, found = _expected(store), _found(store, manifest)
        rows = [
            {
                "name": name,
                "items": len(items),
                "share": len(items & found[name]) / len(items) if items else 1.0,
            }
            for name, items in expected.items()
        ]
    columns = [("name", pa.string()), ("items", pa.int64()), ("share", pa.float64())]
    return pa.Table.from_pylist(rows, pa.schema(columns))


def _expected(store: Store) -> dict[str, set[str]]:
    """Return the items that should have a row: what is live and was not refused for a reason."""
    refused = "step = 'redacted_media' AND status IN ('quarantined', 'skipped')"
    alive = _ids(store.items.read(["item_id"], "deleted = false"))
    expected = {"redacted_media": alive - _ids(store.outcomes.read(["item_id"], refused))}
    for name, channel in CHANNELS.items():
        if channel.encoder == "image":
            found = store.segments.read(["item_id"], "derivative IS NOT NULL")
        else:
            sources = equals_any("source", channel.sources)
            found = store.texts.read(["item_id"], f"text <> '' AND {sources}")
        expected[name] = alive & _ids(found)
    return expected


def _found(store: Store, manifest: Manifest) -> dict[str, set[str]]:
    """Return the items that do have one."""
    import lancedb

    found = {"redacted_media": _ids(store.segments.read(["item_id"]))}
    database = lancedb.connect(store.search_root, storage_options=store.storage_options)
    for name in CHANNELS:
        found[name] = set()
        if version := manifest.channels.get(name):
            table = database.open_table(version.table)
            table.checkout(version.version)
            found[name] = _ids(table.search().select(["item_id"]).to_arrow())
    return found


def _ids(table: pa.Table) -> set[str]:
    return set(table["item_id"].to_pylist())


# --- Subjects ------------------------------------------------------------------------------------


def subjects() -> list[Subject]:
    """Return everything that is inspected."""
    captions = ("caption",)
    return [
        Subject(
            "items",
            "items",
            "Ids are unique, batches and kinds are known, sizes and content hashes are there.",
            items_suite,
            lambda store, _: _items(store),
            lambda store, _: [store.items.version],
        ),
        Subject(
            "redacted_media",
            "segments",
            "Every picture and page has a redacted derivative; refused items have nothing.",
            segments_suite,
            lambda store, _: _segments(store),
            lambda store, _: [store.segments.version, store.outcomes.version],
        ),
        _of_texts("redacted_media", [source for source in _sources() if source not in captions]),
        _of_texts("captions", captions),
        *map(_of_channel, CHANNELS.values()),
        Subject(
            "passages",
            "passages",
            "Keys are unique, texts are there and hold no address or number of a person.",
            passages_suite,
            lambda store, _: _passages(store.passages),
            lambda store, _: [_version(store.passages)],
        ),
        Subject(
            "release",
            "coverage",
            "Every item that was not refused is redacted, and is in the channels it belongs to.",
            coverage_suite,
            lambda store, _: coverage(store),
            lambda store, _: [getattr(store, name).version for name in ("releases", *_FACTS)],
            required=True,
        ),
    ]


def _of_texts(asset: str, sources: Sequence[str]) -> Subject:
    return Subject(
        asset,
        "texts",
        "Texts are there, redacted, and of no item that was refused.",
        texts_suite,
        lambda store, _: _texts(store, sources),
        lambda store, _: [store.texts.version, store.outcomes.version],
    )


def _of_channel(channel: Channel) -> Subject:
    def table(store: Store, models: ModelSuite) -> SearchTable:
        return store.channel(channel.name, models.encoder(channel).identity)

    return Subject(
        f"{channel.name}_embeddings",
        "vectors",
        "Keys are unique, vectors of unit length and of one encoder.",
        vectors_suite,
        lambda *home: _vectors(table(*home)),
        lambda *home: [table(*home).name, _version(table(*home))],
    )


def _version(table: SearchTable) -> int | None:
    opened = table.open()
    return None if opened is None else opened.version


def _sources() -> list[str]:
    channels = (channel.sources for channel in CHANNELS.values())
    return sorted({*PASSAGE_SOURCES, *(source for sources in channels for source in sources)})

"""The list of what is inspected, and when an inspection would end as the last one did."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.catalog.metadata import SEGMENT
from pipelines.channels import CHANNELS, Channel
from pipelines.models.suite import ModelSuite
from pipelines.pipeline import DESCRIBERS
from pipelines.quality import rows, suites
from pipelines.recipes import digest
from pipelines.steps.items import ItemStep
from pipelines.steps.keyframes import KeyframeStep
from pipelines.steps.redact import RedactStep
from pipelines.steps.transcribe import TranscriptStep
from pipelines.store import Store
from pipelines.tables.facts import equals_any, quoted
from pipelines.tables.vectors import SearchTable

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

VERSION = "2"  # raise it when what is expected changes
_FACTS = ("items", "segments", "texts", "outcomes")


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


def subjects() -> list[Subject]:
    """Return everything that is inspected."""
    return [
        Subject(
            "items",
            "items",
            "Ids are unique, batches and kinds are known, sizes and content hashes are there.",
            suites.items_suite,
            lambda store, _: rows.items(store),
            lambda store, _: [store.items.version],
        ),
        # What stands beside items is looked at here: a scan that finds nothing looks at no texts.
        *_of_reading(RedactStep, f" OR segment = {quoted(SEGMENT)}"),
        *_of_reading(KeyframeStep),
        *_of_reading(TranscriptStep),
        *(_of_texts(step.name, f"source = {quoted(step.source)}") for step in DESCRIBERS),
        *map(_of_channel, CHANNELS.values()),
        Subject(
            "passages",
            "passages",
            "Keys are unique, texts are there and hold no e-mail address or SSN.",
            suites.passages_suite,
            lambda store, _: rows.passages(store.passages),
            lambda store, _: [_version(store.passages)],
        ),
        Subject(
            "release",
            "coverage",
            "Every item that was not refused is redacted, and is in the channels it belongs to.",
            suites.coverage_suite,
            lambda store, _: rows.coverage(store),
            lambda store, _: [getattr(store, name).version for name in ("releases", *_FACTS)],
            required=True,
        ),
        Subject(
            "release",
            "failures",
            "Of each step's rows at most 0.1 % failed; above 0.5 % the check fails.",
            suites.failures_suite,
            rows.failures,
            lambda store, models: [
                *(getattr(store, name).version for name in _FACTS),
                *(_version(table) for table in _searched(store, models)),
            ],
        ),
    ]


def _of_reading(step: type[ItemStep], beside: str = "") -> list[Subject]:
    return [
        Subject(
            step.name,
            "segments",
            "Everything redacted has its derivative; refused items have nothing.",
            suites.segments_suite,
            lambda store, _: rows.segments(store, step.own()),
            lambda store, _: [store.segments.version, store.outcomes.version],
        ),
        _of_texts(step.name, f"{step.own()} AND {equals_any('source', step.sources)}{beside}"),
    ]


def _of_texts(asset: str, which: str) -> Subject:
    return Subject(
        asset,
        "texts",
        "Texts are there, redacted, and of no item that was refused.",
        suites.texts_suite,
        lambda store, _: rows.texts(store, which),
        lambda store, _: [store.texts.version, store.outcomes.version],
    )


def _of_channel(channel: Channel) -> Subject:
    def table(store: Store, models: ModelSuite) -> SearchTable:
        return store.channel(channel.name, models.encoder(channel).identity)

    return Subject(
        f"{channel.name}_embeddings",
        "vectors",
        "Keys are unique, vectors of unit length and of one encoder.",
        suites.vectors_suite,
        lambda *home: rows.vectors(table(*home)),
        lambda *home: [table(*home).name, _version(table(*home))],
    )


def _searched(store: Store, models: ModelSuite) -> list[SearchTable]:
    encoders = models.encoders()
    channels = [store.channel(name, choice.identity) for name, choice in encoders.items()]
    return [*channels, store.passages]


def _version(table: SearchTable) -> int | None:
    opened = table.open()
    return None if opened is None else opened.version

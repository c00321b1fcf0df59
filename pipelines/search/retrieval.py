"""One query on its way through the steps: what is known of it so far, and how long each took."""

import datetime as dt
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.outcomes import now
from pipelines.search.asked.encoding import Encoded
from pipelines.search.asked.media import Upload
from pipelines.search.asked.query import Query
from pipelines.search.engines.found import Found
from pipelines.search.engines.protocol import EVERYTHING, Allowed, Engine
from pipelines.search.fusion.evidence import Evidence
from pipelines.search.fusion.profiles import BM25
from pipelines.search.fusion.scores import Scored, ids_of
from pipelines.search.plans.look import Look
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.search.searcher import Searcher
    from pipelines.search.taste import Taste


@dataclass
class Timing:
    """When a step began after the query did, how long it took, and its parts (milliseconds)."""

    step: str
    at_ms: float
    ms: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """Write it as applications get it."""
        parts = {name: round(ms, 3) for name, ms in self.parts.items()}
        return {
            "step": self.step,
            "at_ms": round(self.at_ms, 3),
            "ms": round(self.ms, 3),
            "parts": parts,
        }


@dataclass
class Retrieval:
    """The state of one query; each step reads what those before it left and adds its own.

    `given` are vectors that are asked with instead of encoding the query: those of an indexed item
    or of a query of the past. `at` is the moment that the age of items is counted from.

    Where a page lies beyond the end of a ranking, the next one is made at a greater `depth` and
    goes on after what is `settled`; `first` is how many the first one held.
    """

    query: Query
    searcher: "Searcher"
    settings: Settings
    allowed: Allowed = EVERYTHING
    uploads: Sequence[Upload] = ()
    listeners: int = 0
    given: Encoded | None = None
    hidden_now: Callable[[], Awaitable[frozenset[str]]] | None = None
    engine: Engine = None  # type: ignore[assignment]
    at: dt.datetime = field(default_factory=now)
    taste: "Taste | None" = None
    begun: float = field(default_factory=time.perf_counter)

    encoded: Encoded = field(default_factory=Encoded)
    look: Look | None = None
    reached: set[str] = field(default_factory=set)
    hits: dict[str, Found] = field(default_factory=dict)
    candidates: Sequence[str] | None = None
    depth: int = 0
    settled: Sequence[Scored] = ()
    first: int | None = None
    widened: bool = False
    profile: str = ""
    similarities: Evidence = field(default_factory=Evidence.nothing)
    evidence: Evidence = field(default_factory=Evidence.nothing)
    weights: Mapping[str, float] = field(default_factory=dict)
    ranked: Sequence[Scored] = ()
    reworded: str | None = None
    no_match: str | None = None
    shown: Sequence[Scored] = ()
    results: list[dict[str, Any]] = field(default_factory=list)
    trace: list[Timing] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A release may come to be held in memory at any moment; one query stays with one engine.
        if self.engine is None:
            self.engine = self.searcher.engine

    @property
    def rows(self) -> int:
        """How many rows each channel is asked for, or each domain of it where some are chosen."""
        if self.look and self.look.domains is not None:
            return self.shard_rows
        return self.reach

    @property
    def shard_rows(self) -> int:
        """How many rows each domain of a channel is asked for; one of fewer is not parted."""
        return self.reach // 4

    @property
    def reach(self) -> int:
        """How many rows each channel brings, whichever page is asked for."""
        return CANDIDATES * 4**self.depth

    @property
    def ranks(self) -> int:
        """How many items are ranked of all that is found: pages are cut from the same ranking."""
        return self.reach // 2

    @property
    def items(self) -> int:
        """How many different items each channel brings, where as many are allowed."""
        return self.reach // 4

    @property
    def found(self) -> list[str]:
        """The ids of all items of the first ranking, of which every page knows the same."""
        return ids_of(self.ranked)[: self.first]

    @property
    def asks_words(self) -> bool:
        """Whether BM25 is asked."""
        query, passages = self.query, self.searcher.manifest.passages
        return bool(query.literal and passages and query.asks(BM25))

    @property
    def worded(self) -> Query:
        """The query in the words that answered."""
        return replace(self.query, text=self.reworded) if self.reworded else self.query

    @property
    def wanted(self) -> int:
        """How many items the answer needs, those that are skipped included."""
        return self.query.offset + self.query.k

    async def told(self, channel: str, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the best rows of items that a channel found, by item id, as `Engine.told` does."""
        rows = [self.hits[channel][item_id].row for item_id in item_ids]
        told = await self.engine.told(channel, rows)
        return dict(zip(item_ids, told, strict=True))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part of the step that runs."""
        step, started = self.trace[-1], time.perf_counter()
        yield
        step.parts[name] = step.parts.get(name, 0.0) + _ms_since(started)


CANDIDATES = 200
"""How many rows each channel brings at first, a quarter of it each domain where some are chosen."""


class Stage(Protocol):
    """One step of a query; its name stands in traces."""

    name: str

    async def run(self, asked: Retrieval) -> None:
        """Take the query one step further."""
        ...


async def run(asked: Retrieval, stages: Sequence[Stage]) -> Retrieval:
    """Take a query through steps in their order."""
    for stage in stages:
        started = time.perf_counter()
        timing = Timing(stage.name, (started - asked.begun) * 1000)
        asked.trace.append(timing)
        await stage.run(asked)
        timing.ms = _ms_since(started)
    return asked


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000

"""What finds rows: the same questions, whether tables on disk or memory answer them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple, Protocol

import numpy as np


@dataclass(frozen=True)
class Allowed:
    """Which rows may answer, before any cut.

    `where` is a compiled condition on the attributes (filter and rights), `None` for every row;
    `hidden` holds the ids of items that nobody may see now.
    """

    where: str | None = None
    hidden: frozenset[str] = frozenset()


EVERYTHING = Allowed()


class Hit(NamedTuple):
    """The best row of an item in one channel: raw similarity, and the row's id in the engine."""

    value: float
    row: int


class Found(Mapping[str, Hit]):
    """The best row of each item, by item id.

    Kept in columns, since a query looks at thousands: `ids`, `scores` (n,) float64 and `rows` (n,)
    int64, in the same order. `widened` tells that the first look found too few items, so that it
    was searched further.
    """

    widened = False

    def __init__(
        self,
        ids: Iterable[str] = (),
        scores: np.ndarray | Sequence[float] = (),
        rows: np.ndarray | Sequence[int] = (),
    ):
        self.ids = list(ids)
        self.scores = np.asarray(scores, np.float64)
        self.rows = np.asarray(rows, np.int64)
        self._places: dict[str, int] | None = None

    def add(self, other: "Found") -> None:
        """Take in what is not there yet."""
        known = self._index()
        new = [place for place, item_id in enumerate(other.ids) if item_id not in known]
        if not new:
            return
        self.ids += [other.ids[place] for place in new]
        self.scores = np.concatenate([self.scores, other.scores[new]])
        self.rows = np.concatenate([self.rows, other.rows[new]])
        self._places = None

    def _index(self) -> dict[str, int]:
        if self._places is None:
            self._places = dict(zip(self.ids, count()))
        return self._places

    def __getitem__(self, item_id: str) -> Hit:
        place = self._index()[item_id]
        return Hit(float(self.scores[place]), int(self.rows[place]))

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._index()

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


PLACE = ("item_id", "uri", "title", "kind", "segment", "page", "start_s", "end_s")
"""The columns by which a hit is shown."""


class Engine(Protocol):
    """Finds rows of one release. To be used within one event loop, by any number of tasks."""

    async def nearest(
        self, channel: str, vector: np.ndarray, allowed: Allowed, rows: int, items: int = 1
    ) -> Found:
        """Return the best rows by cosine similarity, about so many `rows`.

        At least `items` different items, where as many are allowed: of a long film thousands of
        rows may be alike, and a selective filter may leave little where an index looks first.
        """
        ...

    async def similarity(
        self, channel: str, vector: np.ndarray, item_ids: Collection[str]
    ) -> Found:
        """Return the exact best row of each of the given items that the channel has."""
        ...

    async def match(self, text: str, allowed: Allowed, rows: int, items: int = 1) -> Found:
        """Return the best passages by BM25; as `nearest` otherwise. Nothing without passages."""
        ...

    async def told(self, channel: str, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return the columns `PLACE` of rows that were found, in their order.

        Passages, the channel `bm25`, have their `text` besides. Only the few rows that are shown
        are read: their columns take longer than finding them.
        """
        ...

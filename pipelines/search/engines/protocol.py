"""What finds rows: the same questions, whether tables on disk or memory answer them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    """The best row of an item in one channel: raw similarity, and where it stands in the answer.

    `found` is an Arrow table with the columns `PLACE`.
    """

    value: float
    found: Any
    position: int

    @property
    def row(self) -> dict[str, Any]:
        """The row itself, read only for the few that are shown."""
        return self.found.slice(self.position, 1).to_pylist()[0]


class Found(Mapping[str, Hit]):
    """The best row of each item, by item id.

    Kept in columns, since a query looks at thousands: `ids`, and `scores` (n,) float64, in the same
    order. `widened` tells that the first look found too few items, so that it was searched further.
    """

    widened = False

    def __init__(
        self,
        ids: Iterable[str] = (),
        scores: np.ndarray | Sequence[float] = (),
        table: Any = None,
        positions: np.ndarray | None = None,
    ):
        self.ids = list(ids)
        self.scores = np.asarray(scores, np.float64)
        self._parts = [(0, table, positions)] if self.ids else []
        self._places: dict[str, int] | None = None

    def add(self, other: "Found") -> None:
        """Take in what is not there yet."""
        known = self._index()
        new = [place for place, item_id in enumerate(other.ids) if item_id not in known]
        if not new:
            return
        start, kept = len(self.ids), np.array(new)
        for first, table, positions in other._parts:
            inside = kept[(kept >= first) & (kept < first + other._size_from(first))]
            if len(inside):
                taken = positions[inside - first] if positions is not None else None
                self._parts.append((start, table, taken))
                start += len(inside)
        self.ids += [other.ids[place] for place in new]
        self.scores = np.concatenate([self.scores, other.scores[kept]])
        self._places = None

    def _size_from(self, first: int) -> int:
        starts = [start for start, _, _ in self._parts if start > first]
        return min(starts, default=len(self.ids)) - first

    def _index(self) -> dict[str, int]:
        if self._places is None:
            self._places = {item_id: place for place, item_id in enumerate(self.ids)}
        return self._places

    def __getitem__(self, item_id: str) -> Hit:
        place = self._index()[item_id]
        start, table, positions = next(part for part in reversed(self._parts) if part[0] <= place)
        position = int(positions[place - start]) if positions is not None else place - start
        return Hit(float(self.scores[place]), table, position)

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

"""What finds rows: the same questions, whether tables on disk or memory answer them."""

from collections.abc import Collection, Mapping
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


class Found(dict[str, Hit]):
    """The best row of each item, by item id.

    `widened` tells that the first look found too few items, so that it was searched further.
    """

    widened = False


Hits = Mapping[str, Found]
"""What was found, by channel."""

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

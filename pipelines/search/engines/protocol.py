"""What finds rows: the same questions, whether tables on disk or memory answer them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipelines.search.engines.found import Found


@dataclass(frozen=True)
class Allowed:
    """Which rows may answer, before any cut.

    `where` is a compiled condition on the attributes (filter and rights), `None` for every row;
    `hidden` holds the ids of items that nobody may see now.
    """

    where: str | None = None
    hidden: frozenset[str] = frozenset()


EVERYTHING = Allowed()


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

"""One channel in memory: answers as an engine does, for selections of its rows."""

from collections.abc import Collection

import numpy as np
from cachetools import LRUCache

from pipelines.search.engines.protocol import Allowed, Found
from pipelines.search.engines.rows import Rows
from pipelines.search.engines.vectors import Selection, Vectors

_SELECTIONS = 64


class HeldChannel:
    """Rows and their vectors, (rows, dimension) of length one or zero; safe in any thread.

    `selections` remembers which rows the last filters and hidden items left.
    """

    def __init__(self, rows: Rows, vectors: np.ndarray):
        self._rows = rows
        self._vectors = Vectors(vectors)
        # As in LanceDB, a vector of length zero is like no other.
        self._usable = (vectors != 0).any(axis=1)
        self.every = self._vectors.selection(self._usable)
        self.selections: LRUCache[Allowed, Selection] = LRUCache(_SELECTIONS)
        self.nbytes = bytes_of(rows, vectors.shape[1])

    def selected(self, row_ids: np.ndarray) -> Selection:
        """Return the rows of some ids in LanceDB."""
        selected = np.zeros(len(self._rows), bool)
        selected[self._rows.at(row_ids)] = True
        return self._vectors.selection(selected & self._usable)

    def without(self, selection: Selection, item_ids: Collection[str]) -> Selection:
        """Return a selection less the rows of some items."""
        selected = self._usable.copy()
        if selection.bits is not None:
            count = len(selected)
            selected = np.unpackbits(selection.bits, bitorder="little", count=count).view(bool)
        selected[self._rows.of(item_ids)] = False
        return self._vectors.selection(selected)

    def nearest(self, vector: np.ndarray, selection: Selection, rows: int, items: int) -> Found:
        """Return the best selected rows, as `Engine.nearest` does."""
        best, unit = Found(), _unit(vector)
        while unit is not None and selection.rows:
            wanted = min(rows, selection.rows)
            best.update(self._rows.best(*self._vectors.search(unit, selection, wanted)))
            if len(best) >= items or wanted == selection.rows:
                break
            best.widened = True
            selection = self.without(selection, best)
        return best

    def similarity(self, vector: np.ndarray, item_ids: Collection[str]) -> Found:
        """Return the best row of each item, as `Engine.similarity` does."""
        unit, rows = _unit(vector), self._rows.of(item_ids)
        rows = rows[self._usable[rows]]
        if unit is None or not len(rows):
            return Found()
        values = self._vectors.products(unit, rows)
        order = np.argsort(-values, kind="stable")
        return self._rows.best(values[order], rows[order])


def bytes_of(rows: Rows, dimension: int) -> int:
    """Return what a channel takes in memory: rows, vectors, and what is remembered of filters."""
    return rows.nbytes + Vectors.bytes_of(len(rows), dimension) + _SELECTIONS * len(rows) // 8


def _unit(vector: np.ndarray) -> np.ndarray | None:
    """Return a query at length one, (dimension,) float32; `None` where it has no direction."""
    length = float(np.linalg.norm(vector))
    return (vector / length).astype(np.float32) if 0 < length < np.inf else None

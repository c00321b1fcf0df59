"""One table in memory: which of its rows may answer, and what a channel finds among them."""

from collections.abc import Collection
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
from cachetools import LRUCache

from pipelines.search.engines.found import Found
from pipelines.search.engines.protocol import Allowed
from pipelines.search.engines.rows import Numbers, Rows
from pipelines.search.engines.vectors import Selection, Vectors

SELECTIONS = 64
"""Filters and sets of hidden items of which a table remembers the rows."""

_CHANGED = 0.25  # of all rows

S = TypeVar("S")


class Held(Generic[S]):
    """Rows of which some may be selected; `usable` tells by number which can be found at all.

    `first` is how many rows there were when all were read last.
    """

    def __init__(self, rows: Rows, usable: np.ndarray, first: int):
        self.rows = rows
        self.first = first
        self._usable = usable
        self.every = self._selection(usable)
        self.selections: LRUCache[Allowed, S] = LRUCache(SELECTIONS)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """What is held, in bytes."""
        raise NotImplementedError

    def numbered_on(self, table: pa.Table) -> Numbers | None:
        """Number a later version's rows after these; `table` is as for `Numbers`.

        Nothing where too much has come or gone since all were read.
        """
        numbers = Numbers(table, self.rows.numbers)
        come, gone = len(numbers) - self.first, np.count_nonzero(~numbers.present)
        return numbers if come + gone <= _CHANGED * self.first else None

    def selected(self, row_ids: np.ndarray) -> S:
        """Return the rows of some ids in LanceDB."""
        selected = np.zeros(len(self.rows), bool)
        selected[self.rows.numbers.at(row_ids)] = True
        return self._selection(selected & self._usable)

    def without(self, selection: S, item_ids: Collection[str]) -> S:
        """Return a selection less the rows of some items."""
        selected = self._mask(selection)
        selected[self.rows.of(item_ids)] = False
        return self._selection(selected)

    def _selection(self, selected: np.ndarray) -> S:
        """Keep an array of booleans, (rows,), in the form that is searched by."""
        raise NotImplementedError

    def _mask(self, selection: S) -> np.ndarray:
        """Return a new array of booleans, (rows,)."""
        raise NotImplementedError


class HeldChannel(Held[Selection]):
    """Rows with vectors, (rows, dimension) of length one or zero; safe in any thread.

    Where the rows were numbered after those of `before`, `vectors` are only those of the new ones.
    """

    def __init__(self, rows: Rows, vectors: np.ndarray, before: "HeldChannel | None" = None):
        # As in LanceDB, a vector of length zero is like no other.
        usable = (vectors != 0).any(axis=1)
        self.dimension = vectors.shape[1]
        if before is None:
            self._vectors = Vectors(vectors)
        else:
            self._vectors = before._vectors.and_more(vectors)
            usable = np.concatenate([before._usable, usable])
        first = before.first if before else len(rows)
        super().__init__(rows, usable & rows.numbers.present, first)

    @staticmethod
    def bytes_of(rows: Rows, dimension: int) -> int:
        """Return what rows take with their vectors, and with what is remembered of filters."""
        return rows.nbytes + Vectors.bytes_of(len(rows), dimension) + SELECTIONS * len(rows) // 8

    @property
    def nbytes(self) -> int:
        """What is held, in bytes."""
        return self.bytes_of(self.rows, self.dimension)

    def nearest(self, vector: np.ndarray, selection: Selection, rows: int, items: int) -> Found:
        """Return the best selected rows, as `Engine.nearest` does."""
        best, unit = Found(), _unit(vector)
        while unit is not None and selection.rows:
            wanted = min(rows, selection.rows)
            best.add(self.rows.best(*self._vectors.search(unit, selection, wanted)))
            if len(best) >= items or wanted == selection.rows:
                break
            selection = self.without(selection, best)
        return best

    def similarity(self, vector: np.ndarray, item_ids: Collection[str]) -> Found:
        """Return the best row of each item, as `Engine.similarity` does."""
        unit, rows = _unit(vector), self.rows.of(item_ids)
        rows = rows[self._usable[rows]]
        if unit is None or not len(rows):
            return Found()
        return self.rows.best(*self._vectors.among(unit, rows))

    def _selection(self, selected: np.ndarray) -> Selection:
        return self._vectors.selection(selected)

    def _mask(self, selection: Selection) -> np.ndarray:
        if selection.bits is None:
            return self._usable.copy()
        return unpacked(selection.bits, len(self.rows))


def unpacked(bits: np.ndarray, count: int) -> np.ndarray:
    """Return packed bits as a new array of booleans, (count,)."""
    return np.unpackbits(bits, bitorder="little", count=count).view(bool)


def _unit(vector: np.ndarray) -> np.ndarray | None:
    """Return a query at length one, (dimension,) float32; `None` where it has no direction."""
    length = float(np.linalg.norm(vector))
    return (vector / length).astype(np.float32) if 0 < length < np.inf else None

"""The rows of one channel's table in memory: where each stands, and which item it is of."""

import sys
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.search.engines.protocol import Found

MARK = ("key", "recipe")
"""The columns by which a row is known again: its vector follows from them."""


class Rows:
    """Rows by number; `table` has the columns `PLACE`, maybe more, and LanceDB's `_rowid`.

    With the columns `key` and `recipe` too, the rows of another version may be numbered like these:
    what is the same in `before` keeps its number, what is new goes on counting, and what is gone
    leaves a number without a row. `present` tells which numbers have one, (numbers,) booleans, and
    `new` is in order of number the `_rowid` of each row that `before` lacks. `nbytes` is what is
    held, in bytes.
    """

    def __init__(self, table: pa.Table, before: "Rows | None" = None):
        table = table.sort_by("_rowid").combine_chunks()
        self._row_ids = table["_rowid"].to_numpy()
        self._marks = _marks(table)
        known = len(before) if before else 0
        numbers = before._numbers_of(self._marks) if before else np.full(len(table), -1)
        fresh = np.flatnonzero(numbers < 0)
        numbers[fresh] = known + np.arange(len(fresh))
        self.new = self._row_ids[fresh]
        self._numbers = numbers
        places = np.full(known + len(fresh), -1)
        places[numbers] = np.arange(len(table))
        self.present = places >= 0
        place = table.drop_columns(["_rowid", *MARK] if len(self._marks) else ["_rowid"])
        if before:
            place = place.take(pa.array(places, mask=~self.present)).combine_chunks()
        self._place = place
        items = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], pa.string()))
        if len(place):
            items = place["item_id"].chunk(0).dictionary_encode()
        # Interned, an id is one object however many channels and releases hold it.
        self._ids = [sys.intern(each) for each in items.dictionary.to_pylist()]
        self._codes = {item_id: code for code, item_id in enumerate(self._ids)}
        self._items = items.indices.fill_null(-1).to_numpy()
        self._by_item = np.argsort(self._items, kind="stable")
        self._starts = np.searchsorted(self._items, range(len(self._ids) + 1), sorter=self._by_item)
        arrays = (
            *(self._row_ids, self._marks, self._numbers, self.present),
            *(self._items, self._by_item, self._starts),
        )
        ids = sum(map(sys.getsizeof, (self._codes, self._ids, *self._ids)))
        self.nbytes = self._place.nbytes + ids + sum(array.nbytes for array in arrays)

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return len(self._items)

    def _numbers_of(self, marks: np.ndarray) -> np.ndarray:
        """Return the number of the row with each mark, -1 where there is none."""
        found = pc.index_in(pa.array(marks), value_set=pa.array(self._marks))
        return np.append(self._numbers, -1)[found.fill_null(-1).to_numpy()]

    def at(self, row_ids: np.ndarray) -> np.ndarray:
        """Return the numbers of rows by their ids in LanceDB."""
        return self._numbers[np.searchsorted(self._row_ids, row_ids)]

    def of(self, item_ids: Collection[str]) -> np.ndarray:
        """Return the numbers of the rows that some items have, maybe none."""
        codes = np.array([self._codes[each] for each in item_ids if each in self._codes], np.int64)
        starts, counts = self._starts[codes], self._starts[codes + 1] - self._starts[codes]
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._by_item[np.repeat(starts, counts) + steps]

    def best(self, values: np.ndarray, rows: np.ndarray) -> Found:
        """Return each item's first row, of rows by number with their values, best first."""
        items = self._items[rows]
        first = np.sort(np.unique(items, return_index=True)[1])
        ids = [self._ids[item] for item in items[first].tolist()]
        return Found(ids, values[first], self._place, rows[first])


def _marks(table: pa.Table) -> np.ndarray:
    """Return `MARK` of each row as one number, (rows,) int64; nothing without these columns."""
    if not set(MARK) <= set(table.column_names):
        return np.zeros(0, np.int64)
    columns = (table[name].to_pylist() for name in MARK)
    return np.fromiter(map(hash, zip(*columns, strict=True)), np.int64, len(table))

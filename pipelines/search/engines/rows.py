"""The rows of one channel's table in memory: where each stands, and which item it is of."""

import sys
from collections.abc import Collection

import numpy as np
import pyarrow as pa

from pipelines.search.engines.protocol import Found


class Rows:
    """Rows by number; `table` has the columns `PLACE`, maybe more, and LanceDB's `_rowid`.

    `nbytes` is what is held, in bytes.
    """

    def __init__(self, table: pa.Table):
        table = table.sort_by("_rowid").combine_chunks()
        self.row_ids = table["_rowid"].to_numpy()
        self._place = table.drop_columns(["_rowid"])
        items = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], pa.string()))
        if len(table):
            items = table["item_id"].chunk(0).dictionary_encode()
        # Interned, an id is one object however many channels and releases hold it.
        self._ids = [sys.intern(each) for each in items.dictionary.to_pylist()]
        self._codes = {item_id: code for code, item_id in enumerate(self._ids)}
        self._items = items.indices.to_numpy()
        self._by_item = np.argsort(self._items, kind="stable")
        self._starts = np.searchsorted(self._items, range(len(self._ids) + 1), sorter=self._by_item)
        arrays = (self.row_ids, self._items, self._by_item, self._starts)
        ids = sum(map(sys.getsizeof, (self._codes, self._ids, *self._ids)))
        self.nbytes = self._place.nbytes + ids + sum(array.nbytes for array in arrays)

    def __len__(self) -> int:
        return len(self._items)

    def at(self, row_ids: np.ndarray) -> np.ndarray:
        """Return the numbers of rows by their ids in LanceDB."""
        return np.searchsorted(self.row_ids, row_ids)

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

"""The rows of one table in memory: the number of each, where it stands, and which item it is of.

Of a later version of the table, rows that stayed keep their numbers.
"""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.search.engines.found import Found, hashes_of

MARK = ("key", "recipe", "attributes_hash")
"""The columns by which a row is known again: all else that it holds follows from them."""


class Numbers:
    """Numbers of rows, by their ids in LanceDB; `table` has the columns `MARK` and `_rowid`.

    What is the same in `before` keeps its number, what is new goes on counting, in the order of
    ids, and what is gone leaves a number without a row. `present` tells which numbers have one,
    (numbers,) booleans; `new` are the ids, ascending, of the rows that `before` lacks.
    """

    def __init__(self, table: pa.Table, before: "Numbers | None" = None):
        table = table.sort_by("_rowid")
        self._row_ids = table["_rowid"].to_numpy()
        columns = (table[name].to_pylist() for name in MARK)
        self._marks = np.fromiter(map(hash, zip(*columns, strict=True)), np.int64, len(table))
        self._numbers = before._of(self._marks) if before else np.full(len(table), -1)
        fresh, known = np.flatnonzero(self._numbers < 0), len(before) if before else 0
        self._numbers[fresh] = np.arange(known, known + len(fresh))
        self.new = self._row_ids[fresh]
        self.present = np.zeros(known + len(fresh), bool)
        self.present[self._numbers] = True

    def __len__(self) -> int:
        return len(self.present)

    @property
    def nbytes(self) -> int:
        """What is held, in bytes."""
        arrays = (self._row_ids, self._marks, self._numbers, self.new, self.present)
        return sum(array.nbytes for array in arrays)

    def at(self, row_ids: np.ndarray) -> np.ndarray:
        """Return the numbers of rows."""
        return self._numbers[np.searchsorted(self._row_ids, row_ids)]

    def _of(self, marks: np.ndarray) -> np.ndarray:
        """Return the number of the row with each mark, -1 where there is none."""
        found = pc.index_in(pa.array(marks), value_set=pa.array(self._marks))
        return np.append(self._numbers, -1)[found.fill_null(-1).to_numpy()]


class Rows:
    """Rows by number, those of `before` taken over; `nbytes` is what is held, in bytes.

    `new` has the columns `PLACE`, maybe more, of the rows that are new, in the order of numbers.
    """

    def __init__(self, numbers: Numbers, new: pa.Table, before: "Rows | None" = None):
        self.numbers = numbers
        place = pa.concat_tables([before._place, new]) if before else new
        self._place: pa.Table = place.combine_chunks()
        self._ids: list[str] = [*before._ids] if before else []
        self._codes: dict[str, int] = {**before._codes} if before else {}
        codes = self._coded(new["item_id"])
        self._items: np.ndarray = np.concatenate([before._items, codes]) if before else codes
        self._items[~numbers.present] = -1
        self._by_item = np.argsort(self._items, kind="stable")
        self._starts = np.searchsorted(self._items, range(len(self._ids) + 1), sorter=self._by_item)
        self._names = _Names(self._items, self._ids)
        self._hashes = hashes_of(self._ids)
        arrays = (self._items, self._by_item, self._starts, self._hashes)
        ids = sum(map(sys.getsizeof, (self._codes, self._ids, *self._ids)))
        self.nbytes = (
            numbers.nbytes + self._place.nbytes + ids + sum(each.nbytes for each in arrays)
        )

    def __len__(self) -> int:
        """Return how many numbers there are."""
        return len(self._items)

    def of(self, item_ids: Collection[str]) -> np.ndarray:
        """Return the numbers of the rows that some items have, maybe none."""
        codes = np.fromiter(map(self._codes.get, item_ids, repeat(-1)), np.int64, len(item_ids))
        codes = codes[codes >= 0]
        starts, counts = self._starts[codes], self._starts[codes + 1] - self._starts[codes]
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return self._by_item[np.repeat(starts, counts) + steps]

    def best(self, values: np.ndarray, rows: np.ndarray) -> Found:
        """Return each item's first row, of rows by number with their values, best first."""
        items = self._items[rows]
        first = np.sort(np.unique(items, return_index=True)[1])
        return Found(self._hashes[items[first]], values[first], rows[first], self._names)

    def numbered(self, found: Found) -> Found:
        """Return what the table itself found, its rows by number instead of by id."""
        rows = self.numbers.at(found.rows.astype(np.uint64))
        numbered = Found(found.hashes, found.scores, rows, self._names)
        numbered.widened = found.widened
        return numbered

    def told(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return what is known of rows by number, in their order."""
        return self._place.take(pa.array(rows, pa.int64())).to_pylist()

    def _coded(self, items: pa.ChunkedArray) -> np.ndarray:
        """Return a code for each id, and take in those that are new."""
        encoded = items.combine_chunks().dictionary_encode()
        codes = []
        # Interned, an id is one object however many channels and releases hold it.
        for item_id in map(sys.intern, encoded.dictionary.to_pylist()):
            if item_id not in self._codes:
                self._codes[item_id] = len(self._ids)
                self._ids.append(item_id)
            codes.append(self._codes[item_id])
        return np.array(codes, np.int32)[encoded.indices.to_numpy()]


class _Names(Mapping[int, str]):
    """The item of each row by number: `items` holds codes, which are places in `ids`."""

    def __init__(self, items: np.ndarray, ids: Sequence[str]):
        self._items = items
        self._ids = ids

    def __getitem__(self, row: int) -> str:
        return self._ids[self._items[row]]

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._items)))

    def __len__(self) -> int:
        return len(self._items)

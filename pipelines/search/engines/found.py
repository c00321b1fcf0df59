"""What a channel found: the best row of each item, in columns, since queries look at thousands.

Ids of items lie all over the memory, so that looking at each takes longer than all arithmetic.
Items are told apart by hashes instead, and named where somebody wants their names.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple, overload

import numpy as np


def hashes_of(item_ids: Collection[str]) -> np.ndarray:
    """Return what tells items apart within this process: (n,) int64."""
    return np.fromiter(map(hash, item_ids), np.int64, len(item_ids))


class Hit(NamedTuple):
    """The best row of an item in one channel: raw similarity, and the row's id in the engine."""

    value: float
    row: int


class Found(Mapping[str, Hit]):
    """The best row of each item, by item id.

    In columns, in the same order: `hashes` of the items (n,) int64, `scores` (n,) float64, `rows`
    (n,) int64. `names` has the item of each row. `widened` tells that the first look found too few
    items, so that it was searched further.
    """

    widened = False

    def __init__(
        self,
        hashes: np.ndarray | Sequence[int] = (),
        scores: np.ndarray | Sequence[float] = (),
        rows: np.ndarray | Sequence[int] = (),
        names: Mapping[int, str] | None = None,
    ):
        self.hashes = np.asarray(hashes, np.int64)
        self.scores = np.asarray(scores, np.float64)
        self.rows = np.asarray(rows, np.int64)
        self.names = {} if names is None else names
        self._places: dict[int, int] | None = None

    @classmethod
    def of(cls, ids: Sequence[str], scores: np.ndarray, rows: np.ndarray) -> "Found":
        """Put into columns what was found of items, each named once."""
        return cls(hashes_of(ids), scores, rows, dict(zip(rows.tolist(), ids, strict=True)))

    def add(self, other: "Found") -> None:
        """Take in what is not there yet."""
        if not len(self):
            self.hashes, self.scores, self.rows = other.hashes, other.scores, other.rows
            self.names, self._places = other.names, None
            return
        known, hashes = self._index(), other.hashes.tolist()
        new = [place for place, each in enumerate(hashes) if each not in known]
        known.update(zip((hashes[place] for place in new), count(len(self))))
        if self.names is not other.names:
            self.names = {**self.names, **other.names}
        self.hashes = np.concatenate([self.hashes, other.hashes[new]])
        self.scores = np.concatenate([self.scores, other.scores[new]])
        self.rows = np.concatenate([self.rows, other.rows[new]])

    def lacks(self, item_ids: Iterable[str]) -> list[str]:
        """Return those of some items that were not found."""
        known = self._index()
        return [item_id for item_id in item_ids if hash(item_id) not in known]

    def _index(self) -> dict[int, int]:
        if self._places is None:
            self._places = dict(zip(self.hashes.tolist(), count()))
        return self._places

    def __getitem__(self, item_id: str) -> Hit:
        place = self._index().get(hash(item_id))
        if place is None:
            raise KeyError(item_id)
        return Hit(float(self.scores[place]), int(self.rows[place]))

    def __contains__(self, item_id: object) -> bool:
        return hash(item_id) in self._index()

    def __iter__(self) -> Iterator[str]:
        return map(self.names.__getitem__, self.rows.tolist())

    def __len__(self) -> int:
        return len(self.hashes)


class Ids(Sequence[str]):
    """The ids of items that channels found, each looked up when it is asked for.

    `places` (n,) count through all that was `found`, one channel after the other.
    """

    def __init__(self, found: Sequence[Found], places: np.ndarray):
        starts = np.cumsum([0, *map(len, found)])
        self._names = [each.names for each in found]
        self._of = (np.searchsorted(starts, places, side="right") - 1).tolist()
        rows = np.concatenate([np.zeros(0, np.int64), *(each.rows for each in found)])
        self._rows: list[int] = rows[places].tolist()

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        return self._names[self._of[place]][self._rows[place]]

"""What channels say of candidates, as a matrix: a query weighs hundreds of items at once."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count

import numpy as np


class Evidence(Mapping[str, Mapping[str, float]]):
    """Values of items by channel: `matrix` (items, channels), NaN where there is none."""

    def __init__(self, ids: Sequence[str], channels: Sequence[str], matrix: np.ndarray):
        self.ids = ids
        self.channels = tuple(channels)
        self.matrix = matrix

    @classmethod
    def of(cls, found: Mapping[str, Mapping[str, float]]) -> "Evidence":
        """Return what a mapping of items to channels to values says."""
        if isinstance(found, cls):
            return found
        channels = sorted({name for values in found.values() for name in values})
        rows = [[values.get(name, np.nan) for name in channels] for values in found.values()]
        matrix = np.array(rows, np.float64).reshape(len(found), len(channels))
        return cls(list(found), channels, matrix)

    @classmethod
    def nothing(cls) -> "Evidence":
        """Return what is known before anything was found."""
        return cls([], [], np.zeros((0, 0)))

    def with_matrix(self, matrix: np.ndarray) -> "Evidence":
        """Return other values of the same items and channels."""
        return Evidence(self.ids, self.channels, matrix)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return dict(zip(self.ids, count()))

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """Return the values of some items, (ids, channels)."""
        return self.matrix[[*map(self._places.__getitem__, ids)]]

    def __getitem__(self, item_id: str) -> Mapping[str, float]:
        row = self.matrix[self._places[item_id]].tolist()
        named = zip(self.channels, row, strict=True)
        return {name: value for name, value in named if value == value}

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

"""Unit vectors at half precision in memory, in an inverted file: search among selected rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

EXACT_ROWS = 20_000
"""Up to so many rows there is one list, and every search is exact."""

LOOKED_AT = 32.0
"""A search looks at this times the root of the selected rows, so at all of the last thousand."""

_LISTS = 2.5  # times the root of all rows
_SAMPLE = 40  # rows a list for k-means to learn from
_CHUNK = 20_000
_SPARSE = 300  # rows of which one is looked at: fetching it costs as much as passing these over


@dataclass(frozen=True)
class Selection:
    """Some rows: how many, as bits (`None`: every row), and how many are in each list."""

    rows: int
    bits: np.ndarray | None
    per_list: np.ndarray


class Vectors:
    """Vectors by number: (rows, dimension), of length one. Safe to search from any thread."""

    def __init__(self, vectors: np.ndarray):
        import faiss

        # The other cores have queries to answer while this is built.
        faiss.omp_set_num_threads(1)
        count, dimension = vectors.shape
        lists = 1 if count <= EXACT_ROWS else round(_LISTS * count**0.5)
        half, product = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        nearest = faiss.IndexFlatIP(dimension)
        index: Any = faiss.IndexIVFScalarQuantizer(nearest, dimension, lists, half, product, False)
        index.cp.min_points_per_centroid = 1
        index.train(vectors[:: max(1, count // (_SAMPLE * lists))].astype(np.float32))
        for start in range(0, count, _CHUNK):
            index.add(vectors[start : start + _CHUNK].astype(np.float32))
        index.make_direct_map(True)
        self._hold(index)

    def _hold(self, index: Any) -> None:
        import faiss

        self._index = index
        self._lists = (faiss.vector_to_array(index.direct_map.array) >> 32).astype(np.int32)

    def __len__(self) -> int:
        return len(self._lists)

    def and_more(self, vectors: np.ndarray) -> "Vectors":
        """Return these and some more, numbered on, in the lists that these were put into."""
        import faiss

        faiss.omp_set_num_threads(1)
        more = Vectors.__new__(Vectors)
        index = faiss.clone_index(self._index)
        index.add(vectors.astype(np.float32))
        more._hold(index)
        return more

    @staticmethod
    def bytes_of(rows: int, dimension: int) -> int:
        """Return what so many vectors take: halves, number, place in a list, and the list."""
        return rows * (2 * dimension + 8 + 8 + 4)

    def selection(self, selected: np.ndarray) -> Selection:
        """Return the rows for which a (rows,) array of booleans is true."""
        per_list = np.bincount(self._lists[selected], minlength=self._index.nlist)
        rows = int(per_list.sum())
        bits = None if rows == len(selected) else np.packbits(selected, bitorder="little")
        return Selection(rows, bits, per_list)

    def search(
        self, unit: np.ndarray, selection: Selection, rows: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the products and numbers of the best selected rows: (rows,), best first.

        Lists are looked into from the nearest on, until they hold enough selected rows: far ones
        too under a narrow filter, which makes it exact. There must be so many selected rows.
        """
        import faiss

        nearness, lists = self._index.quantizer.search(unit[None], self._index.nlist)
        held = selection.per_list[lists[0]]
        near = np.flatnonzero(held)
        enough = max(LOOKED_AT * selection.rows**0.5, 4 * rows)
        near = near[: np.searchsorted(np.cumsum(held[near]), enough) + 1]
        lists, nearness = lists[0, near], nearness[0, near]
        how: dict[str, Any] = {"nprobe": len(near)}
        if selection.bits is not None:
            how["sel"] = faiss.IDSelectorBitmap(selection.bits)  # type: ignore[call-arg, arg-type]
        products, found = np.empty(rows, np.float32), np.empty(rows, np.int64)
        near_lists = (faiss.swig_ptr(lists), faiss.swig_ptr(nearness))
        answer = (faiss.swig_ptr(products), faiss.swig_ptr(found))
        # Without the wrapper, which takes neither the lists that are near nor a selection.
        self._index.search_preassigned_c(
            1,
            faiss.swig_ptr(unit),
            rows,
            *near_lists,
            *answer,
            False,
            faiss.SearchParametersIVF(**how),
        )
        return products, found

    def among(self, unit: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return products and numbers of some rows, (rows,), best first."""
        if len(self._lists) <= _SPARSE * len(rows):
            selected = np.zeros(len(self._lists), bool)
            selected[rows] = True
            return self.search(unit, self.selection(selected), len(rows))
        products = self._index.reconstruct_batch(rows) @ unit
        order = np.argsort(-products, kind="stable")
        return products[order], rows[order]

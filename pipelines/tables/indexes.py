"""Vector indexes: which kinds there are, building one, and telling which one a table has.

Vectors are of unit length, so that cosine, the only metric here, ranks as inner product does.
"""

from functools import partial
from typing import Any, Literal

from pydantic import BaseModel

from pipelines.tables.vectors import retried

Kind = Literal["exact", "ivf_rq", "ivf_pq", "ivf_sq", "hnsw_sq"]

TRAINABLE = 256
"""Rows below which quantizers cannot be trained."""

_CLASSES: dict[Kind, str] = {
    "ivf_rq": "IvfRq",
    "ivf_pq": "IvfPq",
    "ivf_sq": "IvfSq",
    "hnsw_sq": "HnswSq",
}
_TOLD: dict[str, Kind] = {
    "IvfRq": "ivf_rq",
    "IvfPq": "ivf_pq",
    "IvfSq": "ivf_sq",
    "IvfHnswSq": "hnsw_sq",
}


class VectorIndex(BaseModel, frozen=True):
    """A kind of index and its parameters, by LanceDB's names.

    `ivf_*`: `target_partition_size` (rows in a list; left out, LanceDB chooses), `ivf_pq` also
    `num_sub_vectors`; `hnsw_sq`: `m`, `ef_construction`. `exact` is none: all rows are compared.
    """

    index: Kind = "ivf_rq"
    params: dict[str, int] = {}

    def config(self) -> Any:
        """Return it as LanceDB's configuration; not for `exact`."""
        from lancedb import index as kinds

        return getattr(kinds, _CLASSES[self.index])(distance_type="cosine", **self.params)

    def stands_in(self, table: Any) -> bool:
        """Tell whether a table (an opened LanceDB table) has this index."""
        return self.is_like(standing(table))

    def is_like(self, other: "VectorIndex") -> bool:
        """Tell whether the other is of the same kind and parameters."""
        return (self.index, self.params) == (other.index, other.params)

    def build(self, table: Any) -> None:
        """Put it in the place of the index that a table has; `exact` removes that one."""
        if self.index != "exact":
            retried(table, lambda: table.create_index("vector", config=self.config()))
            return
        for index in _of_vectors(table):
            retried(table, partial(table.drop_index, index.name))


class AskedIndex(VectorIndex, frozen=True):
    """An index and how it is asked, by LanceDB's terms; 0 for `exact`."""

    nprobes: int = 0
    refine: int = 0

    @property
    def way(self) -> tuple[int, int]:
        """How it is asked: (nprobes, refine)."""
        return self.nprobes, self.refine


def standing(table: Any) -> VectorIndex:
    """Return the index that a table has."""
    for index in _of_vectors(table):
        details = index.index_details
        graph, codes = details.get("hnsw", {}), details.get("compression", {})
        known = {
            "target_partition_size": details.get("target_partition_size"),
            "num_sub_vectors": codes.get("num_sub_vectors"),
            "m": graph.get("max_connections"),
            "ef_construction": graph.get("construction_ef"),
        }
        params = {name: value for name, value in known.items() if value is not None}
        return VectorIndex(index=_TOLD[index.index_type], params=params)
    return VectorIndex(index="exact")


def index_bytes(table: Any) -> int:
    """Return the size of a table's vector index."""
    return sum(index.size_bytes or 0 for index in _of_vectors(table))


def _of_vectors(table: Any) -> list[Any]:
    return [index for index in table.list_indices() if index.columns == ["vector"]]

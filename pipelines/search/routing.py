"""What the domains of a release look like: a few centroids of each, in every channel."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.search.asked.encoding import Probe
from pipelines.search.engines.lance import LanceEngine
from pipelines.search.fusion.evidence import Evidence
from pipelines.tables.vectors import matrix, unit

CENTROIDS = 16
"""Of a domain in a channel, at most."""

_ROWS_EACH = 4  # rows that a centroid stands for at least
_SAMPLE = 512  # rows of a domain that are looked at in a channel
_MOST = 20_000  # and of all domains together
_ROUNDS = 10


class Router:
    """Knows, for each channel and domain, (n, width) centroids of length one.

    `None` among the domains of `shards`, by channel, stands for rows without one.
    """

    def __init__(
        self,
        centroids: Mapping[str, Mapping[str, np.ndarray]],
        shards: Mapping[str, frozenset[str | None]],
    ):
        self.shards = shards
        self.domains = sorted({name for each in centroids.values() for name in each})
        self._centroids = centroids

    @classmethod
    async def of(cls, tables: LanceEngine) -> "Router":
        """Learn from the tables of a release, which must be open."""
        centroids, shards = {}, {}
        for channel in tables.manifest.channels if "domain" in tables.columns else ():
            table = tables.tables[channel]
            rows = await table.query().select(["domain"]).with_row_id().to_arrow()
            chosen, names = await asyncio.to_thread(_sampled, rows)
            shards[channel] = names
            found = await table.take_row_ids(chosen).select(["domain", "vector"]).to_arrow()
            centroids[channel] = await asyncio.to_thread(_centroids, found)
        return cls(centroids, shards)

    def evidence(self, probes: Mapping[str, Probe]) -> Evidence:
        """Return the cosine of each domain's nearest centroid, by channel that is asked."""
        return Evidence.of(
            {
                domain: {
                    channel: float((self._centroids[channel][domain] @ probe.vector).max())
                    for channel, probe in probes.items()
                    if domain in self._centroids[channel]
                }
                for domain in self.domains
            }
        )

    def shards_of(self, channel: str, domains: Sequence[str]) -> list[str | None]:
        """Return those of some domains that a channel has rows of, and `None` if it has others."""
        return [name for name in (*domains, None) if name in self.shards[channel]]


def _sampled(rows: pa.Table) -> tuple[list[int], frozenset[str | None]]:
    """Choose rows of each domain, by their ids; return the names of all domains too."""
    encoded = rows["domain"].combine_chunks().dictionary_encode()
    names, row_ids = encoded.dictionary.to_pylist(), rows["_rowid"].to_numpy()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    order = np.random.default_rng(0).permutation(len(codes))
    shuffled = order[np.argsort(codes[order], kind="stable")]
    starts = np.searchsorted(codes[shuffled], np.arange(len(names) + 1))
    each = max(1, min(_SAMPLE, _MOST // max(1, len(names))))
    parts = [shuffled[a : min(a + each, b)] for a, b in pairwise(starts)]
    chosen = np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))
    without = [None] if (codes < 0).any() else []
    return row_ids[chosen].tolist(), frozenset([*names, *without])


def _centroids(rows: pa.Table) -> dict[str, np.ndarray]:
    """Return the centroids of each domain, from a sample of rows with their vectors."""
    vectors = matrix(rows["vector"])
    names = np.array(rows["domain"].to_pylist(), np.object_)
    return {name: _clustered(unit(vectors[names == name])) for name in dict.fromkeys(names)}


def _clustered(vectors: np.ndarray) -> np.ndarray:
    """Return the centroids of one domain by spherical k-means (Dhillon & Modha 2001)."""
    import faiss

    # The other cores have queries to answer, and so little work is slower in several threads.
    faiss.omp_set_num_threads(1)
    count = min(CENTROIDS, max(1, len(vectors) // _ROWS_EACH))
    how: dict[str, Any] = {"spherical": True, "seed": 1, "min_points_per_centroid": 1}
    means = faiss.Kmeans(vectors.shape[1], count, niter=_ROUNDS, **how)
    means.train(np.ascontiguousarray(vectors, np.float32))
    return np.asarray(means.centroids)

"""What the domains of a release look like: a few centroids of each, in every channel."""

import asyncio
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from cachetools import LRUCache

from pipelines.search.asked.encoding import Probe
from pipelines.search.engines.lance import LanceEngine, condition
from pipelines.search.engines.protocol import Allowed
from pipelines.search.fusion.evidence import Evidence
from pipelines.tables.vectors import matrix, unit

CENTROIDS = 16
"""Of a domain in a channel, at most."""

_ROWS_EACH = 4  # rows that a centroid stands for at least
_SAMPLE = 512  # rows of a domain that are looked at in a channel
_MOST = 20_000  # and of all domains together
_ROUNDS = 10
_ALLOWED = 256  # different rights and filters whose shards are remembered


Shards = Mapping[str | None, int]
"""Rows by their domain; `None` stands for those without one."""


class Router:
    """Knows, for each channel and domain, (n, width) centroids of length one."""

    def __init__(self, tables: LanceEngine, centroids: Mapping[str, Mapping[str, np.ndarray]]):
        self.domains = sorted({name for each in centroids.values() for name in each})
        self._tables = tables
        self._centroids = centroids
        self._shards: LRUCache[tuple[str, Allowed], Shards] = LRUCache(_ALLOWED)

    @classmethod
    async def of(cls, tables: LanceEngine) -> "Router":
        """Learn from the tables of a release, which must be open."""
        centroids = {}
        for channel in tables.manifest.channels if "domain" in tables.columns else ():
            table = tables.tables[channel]
            rows = await table.query().select(["domain"]).with_row_id().to_arrow()
            chosen = await asyncio.to_thread(_sampled, rows)
            found = await table.take_row_ids(chosen).select(["domain", "vector"]).to_arrow()
            centroids[channel] = await asyncio.to_thread(_centroids, found)
        return cls(tables, centroids)

    async def shards(self, channel: str, allowed: Allowed) -> Shards:
        """Return how many rows of each domain may answer in a channel."""
        known = self._shards.get((channel, allowed))
        if known is None:
            query, where = self._tables.tables[channel].query(), condition(allowed)
            rows = await (query.where(where) if where else query).select(["domain"]).to_arrow()
            counts = rows["domain"].value_counts().to_pylist()
            known = {each["values"]: each["counts"] for each in counts}
            self._shards[channel, allowed] = known
        return known

    def evidence(
        self, probes: Mapping[str, Probe], among: Mapping[str, Collection[str | None]]
    ) -> Evidence:
        """Return the cosine of each domain's nearest centroid, by channel that is asked.

        Of each channel, only the domains `among` it count.
        """
        cosines: dict[str, dict[str, float]] = {}
        for domain in self.domains:
            near = {
                channel: float((self._centroids[channel][domain] @ probe.vector).max())
                for channel, probe in probes.items()
                if domain in among[channel]
            }
            if near:
                cosines[domain] = near
        return Evidence.of(cosines)


def _sampled(rows: pa.Table) -> list[int]:
    """Choose rows of each domain, by their ids."""
    encoded, row_ids = rows["domain"].combine_chunks().dictionary_encode(), rows["_rowid"]
    names = len(encoded.dictionary)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    order = np.random.default_rng(0).permutation(len(codes))
    shuffled = order[np.argsort(codes[order], kind="stable")]
    starts = np.searchsorted(codes[shuffled], np.arange(names + 1))
    each = max(1, min(_SAMPLE, _MOST // max(1, names)))
    parts = [shuffled[a : min(a + each, b)] for a, b in pairwise(starts)]
    chosen = np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))
    chosen_ids: list[int] = row_ids.to_numpy()[chosen].tolist()
    return chosen_ids


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

"""True neighbours by brute force, and how many of them were found.

Judging by distance, not by id, keeps equal vectors from counting as misses.
"""

from collections.abc import Iterable

import numpy as np

from pipelines.tables.vectors import unit

NEIGHBOURS = 10
_EQUAL = 1e-5
_BLOCK = 8192


def perturbed(vectors: np.ndarray, length: float, seed: int) -> np.ndarray:
    """Move vectors of unit length, (rows, width), by noise of the given length; float32."""
    noise = np.random.default_rng(seed).normal(size=vectors.shape)
    noise *= length / np.linalg.norm(noise, axis=1, keepdims=True)
    return (vectors + noise).astype(np.float32)


def bounds(
    batches: Iterable[np.ndarray], queries: np.ndarray, count: int = NEIGHBOURS
) -> np.ndarray:
    """Return the cosine distance of each query's last of `count` true neighbours, in one pass.

    `batches` are the vectors, (rows, width) each, at least `count` in all; `queries` likewise.
    """
    queries = unit(queries)
    nearest = np.full((len(queries), count), np.inf)
    for vectors in batches:
        found = np.concatenate([nearest, 1 - queries @ unit(vectors).T], axis=1)
        nearest = np.partition(found, count - 1, axis=1)[:, :count]
    return nearest[:, -1]


def recall(distances: np.ndarray, bound: float, count: int = NEIGHBOURS) -> float:
    """Return the share of `count` true neighbours among the `count` nearest that were found."""
    return float((np.sort(distances)[:count] <= bound + _EQUAL).sum()) / count


def blocks(vectors: np.ndarray) -> Iterable[np.ndarray]:
    """Cut vectors into batches that are compared at once."""
    return (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK))

"""Encoding in batches that shrink when memory runs out, and checks that vectors belong together."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np

from pipelines.errors import IdentityMismatch
from pipelines.models.protocols import Identity

T = TypeVar("T")
R = TypeVar("R")

_OUT_OF_MEMORY = ("out of memory", "not enough memory", "allocate memory", "alloc_failed")


def encode_in_batches(
    encode: Callable[[Sequence[T]], np.ndarray], inputs: Sequence[T], batch_size: int
) -> np.ndarray:
    """Encode `inputs` like `in_batches` and return the rows as one array."""
    return np.concatenate(in_batches(encode, inputs, batch_size))


def in_batches(work: Callable[[Sequence[T]], R], inputs: Sequence[T], batch_size: int) -> list[R]:
    """Work on `inputs` in order, `batch_size` at a time, and return each batch's result.

    A batch that runs out of memory is halved and tried again, and the rest keeps the smaller size;
    the error is raised once a single input does not fit.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if not inputs:
        return [work(inputs)]
    parts: list[R] = []
    start = 0
    while start < len(inputs):
        batch = inputs[start : start + batch_size]
        try:
            parts.append(work(batch))
            start += len(batch)
        except Exception as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            # The next try starts after this block: until then `error` keeps the batch's tensors.
            batch_size = len(batch) // 2
    return parts


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether `error` is memory running out, in Python, numpy or torch (on CPU or GPU)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _OUT_OF_MEMORY)


def ensure_identity(expected: Identity, actual: Identity) -> None:
    """Raise `IdentityMismatch`, naming both models and what differs, unless they are equal."""
    if expected == actual:
        return
    differing = "; ".join(
        f"{field.name} is {theirs!r}, not {ours!r}"
        for field in fields(Identity)
        if (ours := getattr(expected, field.name)) != (theirs := getattr(actual, field.name))
    )
    raise IdentityMismatch(
        f"outputs of {actual.name} ({actual.key}) do not belong with those of "
        f"{expected.name} ({expected.key}): {differing}. Encode them again with one model."
    )


def ensure_width(vectors: np.ndarray, identity: Identity) -> None:
    """Raise `IdentityMismatch` unless `vectors` is (n, identity.dimension)."""
    if vectors.ndim != 2 or vectors.shape[1] != identity.dimension:
        raise IdentityMismatch(
            f"{identity.name} ({identity.key}) puts out vectors of width {identity.dimension}, "
            f"but these have shape {vectors.shape}"
        )

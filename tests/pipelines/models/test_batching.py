from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pipelines.errors import IdentityMismatch
from pipelines.models.batching import (
    encode_in_batches,
    ensure_identity,
    ensure_width,
    is_out_of_memory,
)
from pipelines.models.protocols import Identity

MODEL = Identity("model-a", "1", "aa", "plain", 4, "float32")


class FakeEncoder:
    """Fails with `error` on batches of more than `limit`, and remembers the sizes it was given."""

    def __init__(self, limit: int, error: Exception) -> None:
        self.limit, self.error = limit, error
        self.sizes: list[int] = []

    def __call__(self, inputs: Sequence[int]) -> np.ndarray:
        self.sizes.append(len(inputs))
        if len(inputs) > self.limit:
            raise self.error
        return np.repeat(np.array(inputs, np.float32)[:, None], 4, axis=1)


def torch_like() -> Exception:
    return type("OutOfMemoryError", (RuntimeError,), {})("tried to reserve 2 GiB")


@pytest.mark.parametrize(
    "error",
    [
        torch_like(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError("Unable to allocate 3 GiB"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_and_the_size_is_kept(error: Exception) -> None:
    encoder = FakeEncoder(3, error)
    vectors = encode_in_batches(encoder, range(10), 8)
    assert vectors[:, 0].tolist() == list(range(10))
    assert encoder.sizes == [8, 4, 2, 2, 2, 2, 2]


def test_a_single_input_that_does_not_fit_raises() -> None:
    encoder = FakeEncoder(0, MemoryError())
    with pytest.raises(MemoryError):
        encode_in_batches(encoder, range(10), 5)
    assert encoder.sizes == [5, 2, 1]


def test_other_errors_are_not_retried() -> None:
    encoder = FakeEncoder(3, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        encode_in_batches(encoder, range(10), 5)
    assert encoder.sizes == [5]
    assert not is_out_of_memory(ValueError("out of memory"))


def test_no_inputs_give_what_the_encoder_gives_for_none() -> None:
    assert encode_in_batches(FakeEncoder(3, MemoryError()), [], 5).shape == (0, 4)


def test_a_batch_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        encode_in_batches(FakeEncoder(3, MemoryError()), [1], 0)


def test_a_different_identity_is_refused_by_name() -> None:
    ensure_identity(MODEL, replace(MODEL))
    other = replace(MODEL, name="model-b", weights="bb")
    with pytest.raises(IdentityMismatch) as caught:
        ensure_identity(MODEL, other)
    message = str(caught.value)
    assert all(part in message for part in ("model-a", "model-b", MODEL.key, other.key))
    assert "weights is 'bb', not 'aa'" in message
    assert "dimension" not in message


@pytest.mark.parametrize("shape", [(2, 5), (4,)])
def test_a_different_width_is_refused_by_name(shape: tuple[int, ...]) -> None:
    ensure_width(np.zeros((2, 4)), MODEL)
    with pytest.raises(IdentityMismatch, match=r"model-a .* width 4"):
        ensure_width(np.zeros(shape), MODEL)

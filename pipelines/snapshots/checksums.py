"""One number for the rows of a table, whatever order and files they lie in.

Every row is hashed from its columns' names and values; the sum over all rows is the checksum. It
tells whether two tables hold equal rows; against forgery there are the digests of the files.
"""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.recipes import digest

_SLICE_BYTES = 8 << 20
_ODD = np.uint64(0x9E3779B97F4A7C15)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_NULL = np.uint64(0x5851F42D4C957F2D)


def checksum(batches: Iterable[pa.RecordBatch]) -> tuple[int, str]:
    """Return how many rows the batches hold and their checksum, 32 hex digits."""
    rows, first, second = 0, 0, 0
    for batch in batches:
        for part in _slices(batch):
            hashes = _record(part.schema.names, part.columns, part.num_rows)
            rows += part.num_rows
            first += int(hashes.sum(dtype=np.uint64))
            second += int(_mix(hashes ^ _ODD).sum(dtype=np.uint64))
    return rows, f"{first % 2**64:016x}{second % 2**64:016x}"


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch so that hashing it, which takes about thirty times its bytes, stays small."""
    if batch.num_rows == 0:
        return
    rows = max(1, batch.num_rows * _SLICE_BYTES // max(batch.nbytes, 1))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _record(names: Iterable[str], columns: Iterable[pa.Array], rows: int) -> np.ndarray:
    total = np.zeros(rows, np.uint64)
    for name, column in zip(names, columns, strict=True):
        total += _mix(_values(column) ^ np.uint64(int(digest(name)[:16], 16)))
    return _mix(total)


def _values(array: pa.Array) -> np.ndarray:
    """Hash each value of an array to 64 bits."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_struct(kind):
        hashes = _record([field.name for field in kind], array.flatten(), len(array))
    elif any(is_list(kind) for is_list in _LISTS):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        hashes = _fold(_values(array.flatten()), lengths.astype(np.int64))
    elif pa.types.is_primitive(kind):
        if kind.bit_width < 32:
            array = array.cast(pa.float32() if pa.types.is_floating(kind) else pa.int32())
        words = array.view(pa.uint32() if array.type.bit_width == 32 else pa.uint64())
        hashes = _mix(pc.fill_null(words, 0).to_numpy().astype(np.uint64))
    else:
        hashes = _bytes(array)
    return np.where(array.is_null().to_numpy(zero_copy_only=False), _NULL, hashes)


def _bytes(array: pa.Array) -> np.ndarray:
    """Hash strings and bytes."""
    whole = pc.fill_null(array.cast(pa.large_binary()), b"")
    _, offsets, data = whole.buffers()
    bounds = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    held = np.frombuffer(data or b"", np.uint8)[bounds[0] : bounds[-1]]
    return _fold(held.astype(np.uint64), np.diff(bounds))


def _fold(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Hash runs of values of the given lengths, each in its order, to one value a run."""
    longest = int(lengths.max(initial=0))
    if longest and lengths.min() == longest:
        runs = (values.reshape(-1, longest) * _powers(longest)).sum(axis=1, dtype=np.uint64)
    else:
        ends = np.cumsum(lengths)
        places = np.arange(len(values)) - np.repeat(ends - lengths, lengths)
        sums = np.zeros(len(values) + 1, np.uint64)
        np.cumsum(values * _powers(longest)[places], out=sums[1:])
        runs = sums[ends] - sums[ends - lengths]
    return _mix(runs + lengths.astype(np.uint64) * _ODD)


@cache
def _powers(count: int) -> np.ndarray:
    return np.cumprod(np.full(count, _ODD), dtype=np.uint64)


def _mix(values: np.ndarray) -> np.ndarray:
    """Spread every bit of 64-bit values over all others (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

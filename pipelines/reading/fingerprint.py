"""Recognising the same recording in another encoding, by its sound alone."""

import base64
from collections.abc import Iterable, Iterator

import numpy as np

from pipelines.models.protocols import RATE

SAME = 0.8
"""From this share of equal bits on, two fingerprints are of one recording."""

_FRAME, _HOP = 8192, 1024  # samples: half a second, every 64 ms
_LAG = 4  # a bit compares with the frame this many hops before
_BANDS = 33  # a semitone each, from 300 to 2000 Hz: what telephones and codecs keep
_QUIET_DB = 50.0  # frames this far below the loudest count as silent
_SILENT_DB = -90.0
_LEAST = 15  # words that are not silent; so the shortest sound has 1.7 s
_OFFSETS = 2 * RATE // _HOP  # up to 2 s may be missing at the beginning


def fingerprint(blocks: Iterable[np.ndarray], seconds: float = 120) -> str | None:
    """Return a fingerprint of the first `seconds` of sound: 83 characters for each second.

    `blocks` are contiguous int16 (samples,) at 16 kHz mono. `None` where less than two seconds
    sound. Signs of energy differences along time and frequency (Haitsma and Kalker 2002), 32 bits
    for a frame; 0 stands for a silent one. What never changes, such as a steady tone, gets bits
    that match nothing.
    """
    energies = [_energies(frames) for frames in _frames(blocks, int(seconds * RATE))]
    if not energies:
        return None
    bands = np.concatenate(energies)
    level = 10 * np.log10(bands.mean(axis=1) + 1e-15)
    heard = level > max(_SILENT_DB, level.max() - _QUIET_DB)
    slopes = np.diff(bands, axis=1)
    bits = slopes[_LAG:] > slopes[:-_LAG]
    words = np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0]
    words = np.where(heard[_LAG:] & heard[:-_LAG], words, 0)
    if np.count_nonzero(words) < _LEAST:
        return None
    return base64.b64encode(words.astype("<u4").tobytes()).decode()


def match(a: str, b: str) -> float:
    """Return how alike two fingerprints are: 1 if the same, about 0.5 if unrelated.

    It is the share of equal bits where both sound, at the best offset of up to 2 s; 0 where less
    than half of the longer one can be compared.
    """
    first, second = _words(a), _words(b)
    needed = max(np.count_nonzero(first), np.count_nonzero(second)) // 2
    best = 0.0
    for offset in range(-_OFFSETS, _OFFSETS + 1):
        ours, theirs = first[max(0, offset) :], second[max(0, -offset) :]
        length = min(len(ours), len(theirs))
        ours, theirs = ours[:length], theirs[:length]
        both = (ours != 0) & (theirs != 0)
        if (compared := np.count_nonzero(both)) >= needed:
            differing = np.unpackbits((ours ^ theirs)[both].view(np.uint8)).sum()
            best = max(best, 1 - float(differing) / (32 * compared))
    return best


def _frames(blocks: Iterable[np.ndarray], most: int) -> Iterator[np.ndarray]:
    """Cut blocks into overlapping frames, (n, _FRAME) at a time, up to `most` samples."""
    held = np.empty(0, np.int16)
    for block in blocks:
        held = np.concatenate([held, block[:most]])
        most -= len(block)
        if len(held) >= _FRAME:
            frames = np.lib.stride_tricks.sliding_window_view(held, _FRAME)[::_HOP]
            yield frames
            held = held[len(frames) * _HOP :]
        if most <= 0:
            return


def _energies(frames: np.ndarray) -> np.ndarray:
    edges = np.geomspace(300, 2000, _BANDS + 1) * _FRAME / RATE
    bins = np.rint(edges).astype(int)
    spectrum = np.fft.rfft(frames * (np.hanning(_FRAME) / 32768).astype(np.float32))
    power = np.abs(spectrum[:, bins[0] : bins[-1]]) ** 2 / _FRAME
    return np.add.reduceat(power, bins[:-1] - bins[0], axis=1)


def _words(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<u4")

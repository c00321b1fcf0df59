"""What things sound like, by statistics of their spectrum: built in, without any weights."""

import json
from collections.abc import Sequence

import numpy as np

from pipelines.models.protocols import RATE, Identity

BANDS = 40
"""Mel bands from 60 Hz to 6 kHz: at low bit rates codecs drop what lies above."""
COEFFICIENTS = 24
"""Cepstral coefficients of every frame, the loudness being the first."""
SILENT_DB = -90.0
"""Frames below this level are silence, as redaction leaves it: 1 step of 16 bits is about that."""
LOUD = 0.9
"""The loud frames of a piece are at this quantile of those that are not silent."""
QUIET_DB = 25.0
"""Frames this far below the loud ones are background and do not count either."""
SPAN_DB = 45.0
"""Bands this far below the loudest are all alike: codecs differ in what they leave there."""

_FRAME, _HOP = 512, RATE // 100

# Typical values of the statistics over synthetic voices, tunes, noises and their mixtures, as
# (centre, spread); coefficient k falls off with (k + 1) ** 0.6. Other sounds share a mean spectrum
# that only the first three coefficients see.
_FALL = (np.arange(COEFFICIENTS) + 1.0) ** 0.6
_TILT = np.array([34.0, 5.0, 8.0])
_MEAN_SPREAD = 26.0
_DEVIATION = (24.0, 16.0)
_CHANGE = (24.0, 18.0)


class LogMelEncoder:
    """Statistics of the log-mel cepstrum (Davis and Mermelstein 1980), without any weights.

    A vector holds the mean and the deviation of the coefficients and of their change over 40 ms,
    centred and scaled so that unrelated sounds are about orthogonal. Loudness does not matter.
    Silence does not count; a piece without sound has a direction of its own.
    """

    def __init__(self) -> None:
        self.identity = Identity(
            name="log-mel-statistics",
            revision="1",
            weights="",
            preprocessing=json.dumps(
                {
                    "bands": [BANDS, 60, 6000],
                    "coefficients": COEFFICIENTS,
                    "frame": [_FRAME, _HOP],
                    "levels": [SILENT_DB, LOUD, QUIET_DB, SPAN_DB],
                    "scale": [*_TILT, _MEAN_SPREAD, *_DEVIATION, *_CHANGE],
                }
            ),
            dimension=3 * COEFFICIENTS,
            dtype="float32",
        )
        self._mel = _mel_filters()
        window = np.hanning(_FRAME).astype(np.float32)
        self._window = window / np.sqrt(np.sum(window**2))
        self._cosines = np.cos(
            np.pi / BANDS * np.outer(np.arange(BANDS) + 0.5, np.arange(COEFFICIENTS))
        ) * np.sqrt(2 / BANDS)

    def prepare(self, samples: np.ndarray) -> np.ndarray:
        """Compute the statistics of one piece: float32 (dimension,) of unit length."""
        signal = samples.astype(np.float32) / 32768
        signal = np.pad(signal, (0, max(0, _FRAME - len(signal))))
        frames = np.lib.stride_tricks.sliding_window_view(signal, _FRAME)[::_HOP]
        power = np.abs(np.fft.rfft(frames * self._window)) ** 2 @ self._mel
        level = _decibels(power.mean(axis=1))
        heard = level > SILENT_DB
        if not heard.any():
            return np.eye(1, self.identity.dimension, dtype=np.float32)[0]
        heard &= level > np.quantile(level[heard], LOUD) - QUIET_DB
        bands = _decibels(power)
        floor = np.quantile(bands[heard].max(axis=1), LOUD) - SPAN_DB
        cepstrum = np.maximum(bands, floor) @ self._cosines
        change = cepstrum[4:] - cepstrum[:-4]
        steady = heard[4:] & heard[2:-2] & heard[:-4]
        if not steady.any():
            change, steady = np.zeros((1, COEFFICIENTS)), np.array([True])
        mean = cepstrum[heard, 1:].mean(axis=0)
        mean[:3] -= _TILT
        vector = np.concatenate(
            [
                [0.0],
                mean * _FALL[1:] / _MEAN_SPREAD,
                (cepstrum[heard].std(axis=0) * _FALL - _DEVIATION[0]) / _DEVIATION[1],
                (change[steady].std(axis=0) * _FALL - _CHANGE[0]) / _CHANGE[1],
            ]
        )
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def encode_prepared(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Return float32 (len(prepared), dimension), rows of unit length."""
        if not prepared:
            return np.empty((0, self.identity.dimension), np.float32)
        return np.stack(prepared)


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power + 1e-15)


def _mel_filters() -> np.ndarray:
    """Triangles on the mel scale over a frame's spectrum: (bins, BANDS), each summing to 1."""
    low, high = 2595 * np.log10(1 + np.array([60.0, 6000.0]) / 700)
    mels = np.linspace(low, high, BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = np.fft.rfftfreq(_FRAME, 1 / RATE)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    filters = np.clip(np.minimum(rising, falling), 0, None)
    return (filters / filters.sum(axis=0)).astype(np.float32)

"""Synthetic speech for tests, spoken by espeak-ng as a shared library."""

import ctypes
from functools import cache
from typing import Any

import numpy as np

RETRIEVE, UTF8, RATE = 1, 1, 1
Heard = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def speak(text: str, voice: str = "en-us", speed: int = 150) -> np.ndarray:
    """Say `text` at `speed` words a minute: int16 (samples,) at 16 kHz, mono.

    `voice` is one of espeak-ng's, with a variant after `+` (`en`, `en-us+f3`, `de`).
    """
    espeak, rate = _espeak()
    pieces: list[np.ndarray] = []

    def hear(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0

    listener = Heard(hear)
    espeak.espeak_SetSynthCallback(listener)
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice}")
    espeak.espeak_SetParameter(RATE, speed, 0)
    said = text.encode()
    espeak.espeak_Synth(said, len(said) + 1, 0, 0, 0, UTF8, None, None)
    espeak.espeak_Synchronize()
    return _at_16_khz(np.concatenate(pieces), rate)


@cache
def _espeak() -> tuple[ctypes.CDLL, int]:
    """Load the library once a process; it counts its samples per second."""
    import espeakng_loader

    espeak = ctypes.CDLL(espeakng_loader.get_library_path())
    espeak.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    rate = espeak.espeak_Initialize(RETRIEVE, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate <= 0:
        raise RuntimeError("espeak-ng cannot start")
    return espeak, rate


def _at_16_khz(samples: np.ndarray, rate: int) -> np.ndarray:
    import av

    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])

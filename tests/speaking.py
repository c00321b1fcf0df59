"""Synthetic speech for tests, spoken by espeak-ng as a shared library."""

import _ctypes
import ctypes
from typing import Any

import numpy as np

SYNCHRONOUS, UTF8, RATE = 2, 1, 1
Heard = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def speak(text: str, voice: str = "en-us", speed: int = 150) -> np.ndarray:
    """Say `text` at `speed` words a minute: int16 (samples,) at 16 kHz, mono.

    `voice` is one of espeak-ng's, with a variant after `+` (`en`, `en-us+f2`, `de`).
    PocketSphinx understands `en-us+f2` at 120 words a minute best.
    """
    espeak, rate = _start()
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
    espeak.espeak_Terminate()
    # It remembers phases from call to call; unloaded, it says the same words the same way.
    _ctypes.dlclose(espeak._handle)
    return _at_16_khz(np.concatenate(pieces), rate)


def _start() -> tuple[ctypes.CDLL, int]:
    """Start espeak-ng anew, as it remembers what it said: the library and its sampling rate."""
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
    rate = espeak.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
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

"""Synthetic speech for tests, spoken by espeak-ng as a shared library.

It remembers phases from call to call and seeds its noise by the clock, so every text is spoken in
a process of its own, from one seed: the same words are the same samples, always.
"""

import ctypes
import subprocess
import sys
from functools import cache
from typing import Any

SYNCHRONOUS, UTF8, SPEED = 2, 1, 1
SEED = 1
Heard = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@cache
def speak(text: str, voice: str = "en-us", speed: int = 150) -> Any:
    """Say `text` at `speed` words a minute: int16 (samples,) at 16 kHz, mono, not to be written.

    `voice` is one of espeak-ng's, with a variant after `+` (`en`, `en-us+f2`, `de`).
    PocketSphinx understands `en-us+f2` at 120 words a minute best.
    """
    import numpy as np

    command = [sys.executable, __file__, text, voice, str(speed)]
    said = subprocess.run(command, capture_output=True, check=True).stdout
    rate = int.from_bytes(said[:4], "little")
    samples = _at_16_khz(np.frombuffer(said[4:], np.int16), rate)
    samples.flags.writeable = False
    return samples


def _at_16_khz(samples: Any, rate: int) -> Any:
    import av
    import numpy as np

    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _say(text: str, voice: str, speed: int) -> bytes:
    """Return the sampling rate in four bytes, little end first, and the int16 samples."""
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
    espeak.espeak_ng_SetRandSeed(ctypes.c_long(SEED))
    pieces: list[bytes] = []

    def hear(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    listener = Heard(hear)
    espeak.espeak_SetSynthCallback(listener)
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice}")
    espeak.espeak_SetParameter(SPEED, speed, 0)
    said = text.encode()
    espeak.espeak_Synth(said, len(said) + 1, 0, 0, 0, UTF8, None, None)
    espeak.espeak_Synchronize()
    return rate.to_bytes(4, "little") + b"".join(pieces)


if __name__ == "__main__":
    sys.stdout.buffer.write(_say(sys.argv[1], sys.argv[2], int(sys.argv[3])))

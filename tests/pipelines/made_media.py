"""Small sound and video files as they come in, made rather than kept."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image

RATE = 16_000
_CONTAINERS = {"aac": "mp4", "libopus": "ogg", "libmp3lame": "mp3", "pcm_s16le": "wav"}
_CLOCK = Fraction(1, 60_000)


def sine(seconds: float, hertz: float = 440) -> np.ndarray:
    """Half as loud as can be: int16 (samples,) at 16 kHz."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (16_384 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)


def sound(
    *parts: np.ndarray,
    codec: str = "flac",
    container: str | None = None,
    rate: int = RATE,
    channels: int = 1,
    starts_s: float = 0.0,
    gap_s: float = 0.0,
) -> bytes:
    """A file of the parts one after the other, each int16 at 16 kHz, stored at `rate`.

    Before each but the first, `gap_s` of the time line are left out, as after a lost connection.
    """
    buffer = io.BytesIO()
    kind = container or _CONTAINERS.get(codec, codec)
    with av.open(buffer, "w", format=kind) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono" if channels == 1 else "stereo")
        _write_sound(output, stream, parts, starts_s, gap_s)
    return buffer.getvalue()


def tone(seconds: float, hertz: float = 440, codec: str = "flac", **how: Any) -> bytes:
    """A file of one note; `how` as in `sound`."""
    return sound(sine(seconds, hertz), codec=codec, **how)


def silence(seconds: float, codec: str = "flac", **how: Any) -> bytes:
    """A file of nothing to hear; `how` as in `sound`."""
    return sound(np.zeros(round(seconds * RATE), np.int16), codec=codec, **how)


def film(
    scenes: Sequence[str | Image.Image],
    seconds_each: float = 1.0,
    sound: np.ndarray | None = None,
    *,
    fps: int = 10,
    size: tuple[int, int] = (64, 48),
    rotation: int = 0,
    variable: bool = False,
    container: str = "mp4",
    codec: str = "libx264",
    pixels: str = "yuv420p",
    starts_s: float = 0.0,
    sound_starts_s: float | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """A film of the scenes, each a colour or a picture shown for `seconds_each`.

    `rotation` turns it counter-clockwise by a flag, as phones do. In a `variable` one the frames
    inside of a scene come at uneven times. The sound is int16 at 16 kHz.
    """
    buffer = io.BytesIO()
    if options is None:
        options = {"preset": "ultrafast"} if codec == "libx264" else {}
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = _CLOCK
        if rotation:
            stream.set_display_rotation(rotation)
        heard = None
        if sound is not None:
            heard = output.add_stream("mp2" if container == "mpegts" else "aac", rate=RATE)
            heard.codec_context.layout = "mono"
        count = round(seconds_each * fps)
        last = len(scenes) * count - 1
        for number, scene in enumerate(scenes):
            picture = Image.new("RGB", size, scene) if isinstance(scene, str) else scene
            for index in range(number * count, (number + 1) * count):
                if variable and index % count not in {0, 1, 4} and index != last:
                    continue
                frame = av.VideoFrame.from_image(picture.resize(size).convert("RGB"))
                frame.time_base = _CLOCK
                frame.pts = round((starts_s + index / fps) / _CLOCK)
                frame.duration = round(1 / fps / _CLOCK)
                output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            _write_sound(
                output, heard, [sound], starts_s if sound_starts_s is None else sound_starts_s
            )
    return buffer.getvalue()


def truncated(data: bytes, share: float) -> bytes:
    """The first part of a file, as a broken download leaves it."""
    return data[: int(len(data) * share)]


def _write_sound(
    output: Any, stream: Any, parts: Sequence[np.ndarray], starts_s: float, gap_s: float = 0.0
) -> None:
    at = round(starts_s * RATE)
    for part in parts:
        for start in range(0, len(part), RATE):
            block = np.ascontiguousarray(part[None, start : start + RATE])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = at + start
            output.mux(stream.encode(frame))
        at += len(part) + round(gap_s * RATE)
    output.mux(stream.encode(None))

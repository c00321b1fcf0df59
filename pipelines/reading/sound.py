"""Sound as int16 samples, 16 kHz mono: decoded as a stream, cut into pieces, stored as FLAC."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from pipelines.errors import BadInput
from pipelines.models.protocols import RATE
from pipelines.reading.streams import check_seconds, decoded, opened, sound_stream
from pipelines.settings import Settings

_BLOCK_S = 10.0
# Containers round time stamps; only what is further off is a gap or an overlap.
_JITTER_S = 0.1


@dataclass(frozen=True)
class Piece:
    """A part of a sound: int16 samples from `start_s` up to `end_s`, in seconds."""

    start_s: float
    end_s: float
    samples: np.ndarray


def decode_sound(file: BinaryIO, settings: Settings) -> Iterator[np.ndarray]:
    """Yield a file's sound from second 0 on, in int16 blocks (samples,) of at most 10 s.

    Sample n is heard at n / RATE seconds: what is missing between time stamps, or before the
    first, is silence, and what overlaps is dropped. A broken tail ends the sound. Raises BadInput
    where nothing can be decoded, and past `max_seconds`.
    """
    placed = _placed(_runs(file), settings)
    return (piece.samples for piece in pieces(placed, _BLOCK_S, 0.0))


def pieces(blocks: Iterable[np.ndarray], piece_s: float, overlap_s: float) -> Iterator[Piece]:
    """Cut a stream of samples into windows of `piece_s`, each sharing `overlap_s` with the next.

    The last one is shorter, and left out where the one before holds all of it.
    """
    size = round(piece_s * RATE)
    hop = size - round(overlap_s * RATE)
    if hop < 1:
        raise ValueError("pieces must be longer than their overlap")
    start, held, kept = 0, 0, list[np.ndarray]()
    for block in blocks:
        kept.append(block)
        held += len(block)
        if held < size:
            continue
        joined = np.concatenate(kept)
        while len(joined) >= size:
            yield _piece(start, joined[:size])
            start, joined = start + hop, joined[hop:]
        held, kept = len(joined), [joined]
    if held > (size - hop if start else 0):
        yield _piece(start, np.concatenate(kept))


def _piece(start: int, samples: np.ndarray) -> Piece:
    # A copy, so that silencing one piece leaves the next alone.
    return Piece(start / RATE, (start + len(samples)) / RATE, samples.copy())


def _placed(
    runs: Iterable[tuple[float | None, np.ndarray]], settings: Settings
) -> Iterator[np.ndarray]:
    """Put samples where their times say, with silence between; None follows what was before."""
    done = late = 0
    for start_s, samples in runs:
        if start_s is not None:
            check_seconds(start_s, settings)
            late = done - round(start_s * RATE)
            while late < 0:
                silence = np.zeros(min(-late, round(_BLOCK_S * RATE)), np.int16)
                yield silence
                done, late = done + len(silence), late + len(silence)
        dropped = min(late, len(samples))
        late -= dropped
        done += len(samples) - dropped
        check_seconds(done / RATE, settings)
        yield samples[dropped:]
    if not done:
        raise BadInput("no sound in it can be decoded; it is empty or corrupt")


def _runs(file: BinaryIO) -> Iterator[tuple[float | None, np.ndarray]]:
    """Decode and resample; each unbroken run of samples begins with its time in seconds."""
    import av

    with opened(file) as container:
        stream = sound_stream(container)
        if stream is None:
            raise BadInput("it has no sound that can be decoded")
        resampler, form, clock, start = av.AudioResampler("s16", "mono", RATE), None, 0.0, None
        for time, frame in decoded(container, stream):
            found = frame.format.name, frame.layout.name, frame.sample_rate
            broken = form is None or abs(time - clock) > _JITTER_S
            if broken or found != form:
                yield from _starting(start, resampler.resample(None))
                resampler, form, clock = av.AudioResampler("s16", "mono", RATE), found, time
                start = time if broken else None
            clock += frame.samples / frame.sample_rate
            # The resampler may hold back all of a short first frame.
            if frames := resampler.resample(frame):
                yield from _starting(start, frames)
                start = None
        yield from _starting(start, resampler.resample(None))


def _starting(
    start_s: float | None, frames: Iterable[Any]
) -> Iterator[tuple[float | None, np.ndarray]]:
    for frame in frames:
        yield start_s, frame.to_ndarray()[0]
        start_s = None


def as_flac(samples: np.ndarray) -> bytes:
    """Encode int16 samples (samples,) as FLAC without metadata: same samples, same bytes."""
    import av

    buffer = io.BytesIO()
    bare = {"fflags": "+bitexact", "metadata_header_padding": "0"}
    with av.open(buffer, "w", format="flac", options=bare) as output:
        stream = output.add_stream("flac", rate=RATE, layout="mono")
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for start in range(0, len(samples), RATE):
            block = np.ascontiguousarray(samples[None, start : start + RATE])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            frame.time_base = Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def from_flac(data: bytes) -> np.ndarray:
    """Return exactly the samples that `as_flac` was given; BadInput where it is no such file."""
    with opened(io.BytesIO(data)) as container:
        frames = decoded(container, sound_stream(container))
        blocks = [frame.to_ndarray()[0] for _, frame in frames]
    return np.concatenate([np.zeros(0, np.int16), *blocks])

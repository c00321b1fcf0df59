"""Files that are asked with: told apart by their bytes, and decoded no further than is needed."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal, TypeVar

import numpy as np
from PIL import Image

from pipelines.errors import BadInput
from pipelines.models.protocols import RATE
from pipelines.reading.media import SNIFF_BYTES, NotMedia, decode_pages, decode_text, sniff
from pipelines.reading.sound import decode_sound
from pipelines.reading.streams import probe
from pipelines.reading.video import keyframes
from pipelines.search.asked.query import Degraded, Query, Sound
from pipelines.settings import Settings

T = TypeVar("T")
Kind = Literal["text", "image", "audio", "video"]

MOST_CHARACTERS = 2_000
"""So much of a text is asked with."""
SOUND_S = 30.0
"""So much of a recording is asked with, from the first moment on that is not silent."""
KEYFRAMES = 16
"""So many keyframes of a film are asked with, evenly spaced."""

_IMAGE_BYTES = 64 << 20
_SEARCHED_S = 600.0  # for a moment that is not silent
_FRAME = RATE // 20
_SILENT = 100.0  # root mean square of int16 samples, about -50 dB


@dataclass(frozen=True)
class Upload:
    """A file to ask with; `kind` says how it is to be taken, `None` that its bytes decide."""

    file: BinaryIO
    name: str = ""
    kind: Kind | None = None


def with_upload(query: Query, upload: Upload, settings: Settings) -> Query:
    """Return the query with what a file holds; a film brings its pictures and its sound.

    What cannot be decoded is noted as degraded, so that the rest can be asked with.
    """
    try:
        kind = upload.kind or _kind(upload)
    except BadInput as error:
        return _without(query, "file", error)
    match kind:
        case "text":
            return _noting(query, kind, lambda: _with_text(query, upload.file, settings))
        case "image":
            return _noting(query, kind, lambda: _with_image(query, upload.file, settings))
        case "audio":
            return _noting(query, kind, lambda: _with_sound(query, upload.file, settings))
        case "video":
            return _noting(query, kind, lambda: _with_film(query, upload.file, settings))


def _noting(query: Query, name: str, work: Callable[[], Query]) -> Query:
    try:
        return work()
    except BadInput as error:
        return _without(query, name, error)


def _without(query: Query, name: str, error: BadInput) -> Query:
    return replace(query, degraded=(*query.degraded, Degraded("input", name, str(error))))


def _kind(upload: Upload) -> Kind:
    upload.file.seek(0)
    try:
        found = sniff(upload.file.read(SNIFF_BYTES), upload.name).kind
    except NotMedia as error:
        raise BadInput(f"{error}; ask with a text, an image, a sound or a film") from None
    match found:
        case "text" | "image" | "audio" | "video":
            return found
    raise BadInput(f"a {found} cannot be asked with; take a text, an image, a sound or a film")


def _read(file: BinaryIO, most: int) -> bytes:
    file.seek(0)
    data = file.read(most + 1)
    if len(data) > most:
        raise BadInput(f"it has more than {most:,} bytes; ask with a smaller one")
    return data


def _with_text(query: Query, file: BinaryIO, settings: Settings) -> Query:
    text = decode_text(_read(file, 4 * settings.max_characters), settings)
    whole = " ".join(filter(None, [query.typed, text]))
    return replace(query, text=whole[:MOST_CHARACTERS])


def _with_image(query: Query, file: BinaryIO, settings: Settings) -> Query:
    data = _read(file, min(_IMAGE_BYTES, settings.max_bytes))
    return replace(query, image=next(decode_pages(data, "image", settings)).image)


def _with_sound(query: Query, file: BinaryIO, settings: Settings) -> Query:
    file.seek(0)
    return replace(query, sound=_first_audible(decode_sound(file, settings)))


def _with_film(query: Query, file: BinaryIO, settings: Settings) -> Query:
    streams = probe(file, settings)
    if streams.kind == "video":
        found = _spread_keyframes(file, streams.duration_s, settings)
        query = _noting(query, "video", lambda: replace(query, clip=(*query.clip, *found)))
    if streams.sound and query.sound is None:
        film = query
        query = _noting(query, "sound", lambda: _with_sound(film, file, settings))
    return query


def _spread_keyframes(
    file: BinaryIO, duration_s: float | None, settings: Settings
) -> tuple[Image.Image, ...]:
    file.seek(0)
    apart = max(settings.keyframe_s, (duration_s or 0.0) / KEYFRAMES)
    grid = settings.model_copy(update={"keyframe_s": apart, "keyframes": "interval"})
    found = keyframes(file, grid)
    return tuple(frame.image for frame, _ in zip(found, range(KEYFRAMES), strict=False))


def _first_audible(blocks: Iterator[np.ndarray]) -> Sound:
    """Return up to `SOUND_S` from the first moment on that is not silent."""
    passed = 0
    taken: list[np.ndarray] = []
    most = int(SOUND_S * RATE)
    start = 0
    for block in blocks:
        if not taken:
            at = _audible_at(block)
            if at is None:
                passed += len(block)
                if passed > _SEARCHED_S * RATE:
                    break
                continue
            start, block = passed + at, block[at:]
        taken.append(block)
        if sum(map(len, taken)) >= most:
            break
    if not taken:
        raise BadInput(f"nothing is heard in its first {passed / RATE:.0f} s; cut the silence off")
    samples = np.concatenate(taken)[:most]
    return Sound(samples, start / RATE, (start + len(samples)) / RATE)


def _audible_at(block: np.ndarray) -> int | None:
    padded = np.pad(block, (0, -len(block) % _FRAME)).reshape(-1, _FRAME).astype(np.float32)
    loud = np.flatnonzero(np.sqrt((padded**2).mean(axis=1)) > _SILENT)
    return int(loud[0]) * _FRAME if len(loud) else None


def in_memory(data: bytes, kind: Kind) -> Upload:
    """Return bytes as an upload of a known kind."""
    return Upload(io.BytesIO(data), kind=kind)

"""Keyframes: the pictures that a video shows at the points of a time grid."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from pipelines.errors import BadInput
from pipelines.reading.streams import (
    begin,
    check_pixels,
    check_seconds,
    decoded,
    opened,
    packets_of,
    picture_stream,
    upright_size,
)
from pipelines.settings import Settings

# Time stamps are rounded, in Matroska to a thousandth: a frame may be this late for a grid point.
_LATE_S = 0.001
# Mean difference of grey thumbnails, of 255, from which an adaptive keyframe is a new one.
_DIFFERENT = 10.0
_THUMBNAIL = 32
_THREADS = 4
# A longer group of pictures is not held back to see what of it is needed.
_MAX_GROUP, _MAX_GROUP_BYTES = 600, 64 << 20


@dataclass(frozen=True)
class Keyframe:
    """An upright RGB picture that stands for a video from `start_s` to `end_s`, in seconds."""

    start_s: float
    end_s: float
    image: Image.Image


def keyframes(file: BinaryIO, settings: Settings) -> Iterator[Keyframe]:
    """Yield what a video shows at 0, `keyframe_s`, 2 `keyframe_s` and so on, while it lasts.

    Of "adaptive" keyframes those are left out that look like the one before. A broken tail ends
    the video. Raises BadInput where no picture can be decoded, and beyond `max_seconds` or
    `max_pixels`.
    """
    with opened(file) as container:
        stream = picture_stream(container)
        if stream is None:
            raise BadInput("it has no moving pictures that can be decoded")
        check_pixels(stream.width, stream.height, settings)
        stream.thread_type, stream.thread_count = "AUTO", _THREADS
        stream.codec_context.options = {"max_pixels": str(settings.max_pixels)}
        kept: tuple[float, Image.Image, np.ndarray | None] | None = None
        for at, frame in _shown(container, stream, settings):
            look = _look(frame) if frame and settings.keyframes == "adaptive" else None
            if kept and look is not None and np.abs(look - kept[2]).mean() < _DIFFERENT:
                continue
            if kept:
                yield Keyframe(kept[0], at, kept[1])
            if frame:
                kept = at, _picture(frame, stream, settings), look
        if kept is None:
            raise BadInput("no picture in it can be decoded; it is empty or corrupt")


def _slot(time: float, step: float) -> int:
    """Return the number of the first grid point at which a frame of that time can be shown."""
    return max(0, math.ceil((time - _LATE_S) / step))


def _shown(container: Any, stream: Any, settings: Settings) -> Iterator[tuple[float, Any]]:
    """Yield each grid point with the frame shown then, and after the last the end and None."""
    step, slot, shown, begun = settings.keyframe_s, 0, None, 0.0
    packets = _needed(packets_of(container, stream), stream, begin(container), step)
    for time, frame in decoded(container, stream, packets):
        if shown and time <= begun:
            continue
        check_seconds(time, settings)
        if shown:
            for point in range(slot, _slot(time, step)):
                yield point * step, shown
            slot = max(slot, _slot(time, step))
        shown, begun = frame, time
    if shown:
        rate = stream.average_rate or 25
        end = begun + float((shown.duration or 0) * stream.time_base or 1 / rate)
        for point in range(slot, max(_slot(end, step), 0 if slot else 1)):
            yield point * step, shown
        yield end, None


def _needed(every: Iterator[Any], stream: Any, zero: float, step: float) -> Iterator[Any]:
    """Pass on only the packets without which no frame that is shown could be decoded.

    In a group of pictures that are none after the last frame shown, and before it none of frames
    that no other refers to: the decoder knows those.
    """
    context, first = stream.codec_context, True

    def slot(pts: int) -> int:
        return _slot(float(pts * stream.time_base) - zero, step)

    for group, after in pairwise(chain(_groups(every), [[]])):
        context.skip_frame = "DEFAULT"
        if not _is_whole(group, after, context.codec.intra_only):
            yield from group
        else:
            times = sorted(packet.pts for packet in group)
            following = min((packet.pts for packet in after), default=None)
            # The very first frame is shown at 0, and the very last one is the end.
            slots = [-1 if first else slot(times[0]), *map(slot, times[1:])]
            slots.append(slots[-1] + 1 if following is None else slot(following))
            shown = {pts for index, pts in enumerate(times) if slots[index] < slots[index + 1]}
            # Where pictures come before the one that begins the next group, they may need this.
            closed = after and following == after[0].pts
            left = set(shown)
            for packet in group:
                if closed and not left:
                    break
                left.discard(packet.pts)
                context.skip_frame = "DEFAULT" if packet.pts in shown else "NONREF"
                yield packet
        first = False


def _groups(packets: Iterator[Any]) -> Iterator[list[Any]]:
    """Cut packets before each self-contained picture, and where a group grows too large."""
    group, size = list[Any](), 0
    for packet in packets:
        if group and (packet.is_keyframe or len(group) >= _MAX_GROUP or size >= _MAX_GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(packet)
        size += packet.size
    if group:
        yield group


def _is_whole(group: list[Any], after: list[Any], intra_only: bool) -> bool:
    """Tell whether a group can be judged; groups of one picture hint at a flag that is wrong."""
    return (
        group[0].is_keyframe
        and (not after or after[0].is_keyframe)
        and (len(group) > 1 or intra_only)
        and all(packet.pts is not None for packet in (*group, *after))
    )


def _look(frame: Any) -> np.ndarray:
    small = frame.reformat(_THUMBNAIL, _THUMBNAIL, "gray", interpolation="AREA")
    return small.to_ndarray().astype(np.float32)


def _picture(frame: Any, stream: Any, settings: Settings) -> Image.Image:
    check_pixels(frame.width, frame.height, settings)
    width, height = upright_size(stream, frame)
    scale = min(1.0, settings.keyframe_height / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    turns = round(frame.rotation / 90) % 4
    stored = size[::-1] if turns % 2 else size
    image = frame.to_image(width=stored[0], height=stored[1], interpolation="AREA")
    turn = [None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270]
    return image.transpose(turn[turns]) if turns else image

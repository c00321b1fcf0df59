"""Sound and video files opened safely: what is in them, and their frames as far as they go."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from pipelines.errors import BadInput
from pipelines.settings import Settings

if TYPE_CHECKING:
    import av

# Containers that hold their media themselves. Playlists and scripts (hls, dash, concat, sdp,
# image2 ...) name other files or addresses, so ffmpeg must not even try them.
_CONTAINERS = (
    "3gp,aac,ac3,aiff,amr,ape,asf,au,avi,caf,dv,eac3,flac,flv,gxf,h264,hevc,ivf,m4v,matroska,"
    "mov,mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,rm,tta,voc,w64,wav,webm,wv"
)


@dataclass(frozen=True)
class Streams:
    """What a media file holds.

    `kind` is "video" where pictures move, else "audio": cover art is no video. `duration_s` is
    None where the container does not tell. Width and height are upright, in square pixels.
    """

    kind: str
    duration_s: float | None
    sound: bool
    width: int | None
    height: int | None

    @property
    def modalities(self) -> list[str]:
        """Which of "sound" and "pictures" there are."""
        return ["sound"] * self.sound + ["pictures"] * (self.kind == "video")


class _Nameless:
    """A file without its name, by which ffmpeg would guess a format and which errors would tell."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _refuse(url: str, flags: int, options: dict[str, Any]) -> NoReturn:
    raise BadInput("the file refers to another file or address; save it with its media inside")


@contextmanager
def opened(file: BinaryIO) -> Iterator["av.container.InputContainer"]:
    """Open a seekable file so that nothing but its own bytes is ever read.

    What ffmpeg cannot read, at opening or inside of the `with`, is BadInput; errors of the file
    object itself, such as a lost connection, pass through.
    """
    import av

    file.seek(0, io.SEEK_SET)
    try:
        with av.open(
            _Nameless(file),
            "r",
            io_open=_refuse,
            container_options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"},
        ) as container:
            yield container
    except (av.error.MemoryError, MemoryError):
        raise MemoryError("no memory left to decode media") from None
    except av.FFmpegError:
        raise BadInput(
            "it cannot be read as sound or video; it is corrupt or of a format that is not known"
        ) from None


def sound_stream(container: "av.container.InputContainer") -> "av.AudioStream | None":
    """Return the sound that players choose, None where none can be decoded."""
    from av.stream import Disposition

    choices = [stream for stream in container.streams.audio if stream.codec_context]
    chosen = (stream for stream in choices if stream.disposition & Disposition.default)
    return next(chosen, choices[0] if choices else None)


def picture_stream(container: "av.container.InputContainer") -> "av.VideoStream | None":
    """Return the first stream of moving pictures, which cover art and thumbnails are not."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    choices = (stream for stream in container.streams.video if stream.codec_context)
    return next((stream for stream in choices if not stream.disposition & still), None)


def probe(file: BinaryIO, settings: Settings) -> Streams:
    """Tell what a file holds, from its headers and its first picture.

    Raises BadInput for what cannot be read, holds neither sound nor moving pictures or is beyond
    `max_seconds` or `max_pixels`.
    """
    with opened(file) as container:
        sound, pictures = sound_stream(container), picture_stream(container)
        if sound is None and pictures is None:
            raise BadInput("it holds neither sound nor moving pictures that can be decoded")
        duration = None if container.duration is None else container.duration / 1e6
        check_seconds(duration or 0.0, settings)
        if pictures is None:
            return Streams("audio", duration, True, None, None)
        check_pixels(pictures.width, pictures.height, settings)
        _, first = next(decoded(container, pictures), (0.0, pictures))
        width, height = upright_size(pictures, first)
        return Streams("video", duration, sound is not None, width, height)


def begin(container: "av.container.InputContainer") -> float:
    """Return the time stamp, in seconds, of second 0: where the file's first stream begins."""
    import av

    return max(0.0, (container.start_time or 0) / av.time_base)


def packets_of(container: "av.container.InputContainer", stream: Any) -> Iterator[Any]:
    """Yield the packets of one stream, up to the end or to bytes in which no more can be found."""
    import av
    from av.stream import Discard

    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.error.MemoryError:
        raise
    except av.FFmpegError:
        return


def decoded(
    container: "av.container.InputContainer", stream: Any, packets: Iterable[Any] | None = None
) -> Iterator[tuple[float, Any]]:
    """Yield the frames of one stream, or of some of its packets, each with its second.

    What cannot be decoded is passed over.
    """
    import av

    zero = begin(container)
    packets = packets_of(container, stream) if packets is None else packets
    for packet in chain(packets, [None]):  # None asks for what the decoder holds back.
        try:
            frames = stream.decode(packet)
        except av.error.MemoryError:
            raise
        except av.FFmpegError:
            continue
        for frame in frames:
            if frame.pts is not None:
                yield float(frame.pts * stream.time_base) - zero, frame


def upright_size(stream: "av.VideoStream", frame: Any) -> tuple[int, int]:
    """Return width and height of a frame as it is shown: turned, and its pixels made square."""
    shape = stream.sample_aspect_ratio
    stretch = shape if shape and 1 / 4 <= shape <= 4 else 1
    width, height = max(1, round(frame.width * stretch)), frame.height
    return (height, width) if getattr(frame, "rotation", 0) % 180 else (width, height)


def check_seconds(seconds: float, settings: Settings) -> None:
    """Raise BadInput for what is longer than `max_seconds`."""
    if seconds > settings.max_seconds:
        raise BadInput(f"longer than max_seconds = {settings.max_seconds:,.0f}; cut it into parts")


def check_pixels(width: int, height: int, settings: Settings) -> None:
    """Raise BadInput for pictures of more than `max_pixels`."""
    if width * height > settings.max_pixels:
        size = f"{width} x {height}"
        raise BadInput(f"{size} pixels, more than max_pixels = {settings.max_pixels:,}")

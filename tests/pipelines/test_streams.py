"""Opening media: what is in them, and what is never opened."""

import io
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from made_media import film, silence, sine, tone, truncated
from PIL import Image

from pipelines.errors import BadInput
from pipelines.reading.streams import Streams, opened, probe
from pipelines.settings import Settings
from tests.running import needs_media

SETTINGS = Settings()


def probed(data: bytes, **bounds: float) -> Streams:
    return probe(io.BytesIO(data), Settings(**bounds))


def with_cover() -> bytes:
    """A song with the picture of its album."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as output:
        song = output.add_stream("libmp3lame", rate=16_000)
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(sine(1)[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        output.mux([*song.encode(frame), *song.encode(None)])
        output.mux(cover.encode(av.VideoFrame.from_image(Image.new("RGB", (32, 32)))))
        output.mux(cover.encode(None))
    return buffer.getvalue()


def test_sound_alone_is_audio() -> None:
    found = probed(tone(2.5))
    assert found == Streams("audio", 2.5, True, None, None)
    assert found.modalities == ["sound"]


def test_a_film_may_have_sound() -> None:
    assert probed(film(["red"])).modalities == ["pictures"]
    assert probed(film(["red"], sound=sine(1))).modalities == ["sound", "pictures"]


def test_the_size_is_upright() -> None:
    lying, standing = probed(film(["red"])), probed(film(["red"], rotation=90))
    assert (lying.width, lying.height) == (64, 48)
    assert (standing.width, standing.height) == (48, 64)


def test_cover_art_is_no_video() -> None:
    data = with_cover()
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.video
    assert probed(data).kind == "audio"


@pytest.mark.parametrize(
    ("bounds", "named"), [({"max_seconds": 1.5}, "max_seconds"), ({"max_pixels": 3000}, "max_pix")]
)
def test_beyond_a_bound_is_refused(bounds: dict[str, float], named: str) -> None:
    data = film(["red", "blue"])
    probed(data, max_seconds=2.5, max_pixels=3072)
    with pytest.raises(BadInput, match=named):
        probed(data, **bounds)


@pytest.mark.parametrize(
    "data",
    [b"", b"private " * 100, truncated(film(["red"]), 0.5), silence(1)[:40], b"\0" * 4096],
    ids=["empty", "text", "cut", "header", "zeros"],
)
def test_what_is_no_media_is_bad_input_and_says_nothing_of_it(
    data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadInput) as caught:
        probed(data)
    assert "private" not in str(caught.value) and "rrno" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>{}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "{}",
    ],
    ids=["hls", "concat", "dash", "sdp", "name"],
)
def test_no_other_file_is_followed(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(film(["red"]))
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(text.format(tmp_path / "secret.mp4"))
    with playlist.open("rb") as file, pytest.raises(BadInput):
        probe(file, SETTINGS)


def test_a_lost_connection_is_not_bad_input() -> None:
    class Lost(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 40_000:
                raise ConnectionResetError("gone")
            return super().read(size)

    with pytest.raises(ConnectionResetError), opened(Lost(silence(9, "pcm_s16le"))) as container:
        for _ in container.demux():
            pass


def test_real_videos() -> None:
    folder = needs_media("video") / "pixeltable"
    with (folder / "spaces_and_quote_half_res.mp4").open("rb") as file:
        assert probe(file, SETTINGS) == Streams("video", 12.97, True, 640, 360)
    with (folder / "test_13_frames.mp4").open("rb") as file:
        assert probe(file, SETTINGS) == Streams("video", 6.5, False, 398, 224)

"""Files that are asked with: told by their bytes, decoded within bounds, noted where broken."""

import io
from pathlib import Path

import numpy as np
import pytest
from made_media import film, sine, tone, truncated
from made_media import sound as sound_file
from PIL import Image

from pipelines.search.asked import media
from pipelines.search.asked.media import Upload, with_upload
from pipelines.search.asked.query import Query
from pipelines.settings import Settings

SETTINGS = Settings()


def png(colour: str = "navy") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), colour).save(buffer, "PNG")
    return buffer.getvalue()


def read(data: bytes, name: str = "", kind: media.Kind | None = None, **query: object) -> Query:
    asked = Query(**query)  # type: ignore[arg-type]
    return with_upload(asked, Upload(io.BytesIO(data), name, kind), SETTINGS)


@pytest.mark.parametrize("name", ["", "upload"])
def test_the_bytes_tell_the_four_kinds(name: str) -> None:
    assert read(b"a red dress\n", name).typed == "a red dress"
    image = read(png(), name).image
    assert image is not None and image.size == (32, 24)
    heard = read(tone(1), name).sound
    assert heard is not None and heard.samples.dtype == np.int16
    shown = read(film(["red", "blue"], 2.0, sine(4)), name)
    assert len(shown.clip) == 2 and shown.sound is not None
    assert [read(each, name).degraded for each in (b"x", png(), tone(1))] == [()] * 3


def test_a_kind_can_be_demanded() -> None:
    only_sound = read(film(["red"], 1.0, sine(1)), kind="audio")
    assert only_sound.sound is not None and only_sound.clip == ()
    silent = read(film(["red"], 1.0), kind="audio")
    assert silent.sound is None and silent.degraded[0].name == "audio"


def test_of_a_recording_the_first_thirty_seconds_that_are_heard_are_asked_with() -> None:
    quiet = np.zeros(15 * 16_000, np.int16)
    heard = read(sound_file(quiet, sine(50))).sound
    assert heard is not None
    assert heard.start_s == pytest.approx(15, abs=0.1) and heard.end_s - heard.start_s == 30
    assert np.abs(heard.samples[:1600]).max() > 10_000


def test_silence_is_told_apart_from_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = read(tone(3, hertz=0.0))
    assert silent.is_empty and "nothing is heard" in silent.degraded[0].reason
    monkeypatch.setattr(media, "_SEARCHED_S", 5.0)
    late = read(sound_file(np.zeros(30 * 16_000, np.int16), sine(1)))
    assert late.is_empty and late.degraded[0].reason.startswith(
        "nothing is heard in its first 10 s"
    )


def test_keyframes_of_a_long_film_are_spread_over_it() -> None:
    colours = [f"rgb({shade},0,0)" for shade in range(0, 250, 5)]
    shown = read(film(colours, 2.0, fps=2)).clip
    assert len(shown) == media.KEYFRAMES
    shades = [np.asarray(image)[..., 0].mean() for image in shown]
    assert shades == sorted(shades) and shades[-1] > 200 and shades[0] < 20


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"", "", "empty"),
        (b"%PDF-1.4 \n", "a.pdf", "document"),
        (png()[:60], "", "corrupt"),
        (truncated(tone(1), 0.01), "a.flac", ""),
        (b"PK\x03\x04" + bytes(60), "a.zip", ""),
        (b"plain words", "a.mp4", "named .mp4"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "a.m3u8", ""),
    ],
)
def test_what_cannot_be_used_is_noted_and_the_text_stays(data: bytes, name: str, said: str) -> None:
    query = read(data, name, text="a cup")
    assert query.typed == "a cup" and query.words == "a cup"
    assert [each.what for each in query.degraded] == ["input"] and said in query.degraded[0].reason
    assert read(data, name).is_empty


def test_a_film_keeps_its_pictures_where_its_sound_is_silent() -> None:
    query = read(film(["red"], 1.0, np.zeros(16_000, np.int16)))
    assert len(query.clip) == 1 and query.sound is None
    assert [each.name for each in query.degraded] == ["sound"]


def test_large_files_are_not_read_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(media, "_IMAGE_BYTES", 100)
    assert "more than 100 bytes" in read(png() + bytes(200)).degraded[0].reason
    long = read(b"word " * 2_000)
    assert long.typed is not None and len(long.typed) <= media.MOST_CHARACTERS

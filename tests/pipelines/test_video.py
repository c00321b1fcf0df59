"""Keyframes: the right picture at the right second, upright, at little cost."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from made_media import film, sine, tone, truncated
from PIL import Image

from pipelines.errors import BadInput
from pipelines.reading import video
from pipelines.reading.video import Keyframe, keyframes
from pipelines.settings import Settings
from tests.running import needs_media

COLOURS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255,) * 3}


def chosen(data: bytes, **settings: Any) -> list[Keyframe]:
    return list(keyframes(io.BytesIO(data), Settings(**settings)))


def colour(image: Image.Image, place: tuple[int, int] = (20, 20)) -> str:
    pixel = image.getpixel(place)
    return min(
        COLOURS, key=lambda name: sum(abs(a - b) for a, b in zip(COLOURS[name], pixel, strict=True))
    )


def numbered(count: int) -> list[Image.Image]:
    """Pictures that all differ."""
    return [
        Image.new("RGB", (64, 48), (9 * i % 256, 5 * i % 256, 77 * i % 256)) for i in range(count)
    ]


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"variable": True},
        {"container": "matroska", "variable": True},
        {"starts_s": 500.0, "container": "mpegts"},
        {"codec": "mpeg4"},
        {"codec": "mjpeg", "pixels": "yuvj420p"},
        {"codec": "libvpx-vp9", "container": "webm", "options": {"deadline": "realtime"}},
        {"pixels": "yuv444p"},
        {"pixels": "yuv420p10le"},
        {"codec": "ffv1", "pixels": "gbrp10le", "container": "matroska"},
        {"size": (62, 46)},
    ],
    ids=lambda how: "-".join(str(value) for value in how.values()) or "plain",
)
def test_every_format_shows_the_scene_of_its_time(how: dict[str, Any]) -> None:
    found = chosen(film(["red", "lime", "blue"], 2.0, **how), keyframe_s=1.0)
    assert [keyframe.start_s for keyframe in found] == [0, 1, 2, 3, 4, 5]
    assert [keyframe.end_s for keyframe in found] == pytest.approx([1, 2, 3, 4, 5, 6], abs=0.05)
    assert [colour(keyframe.image) for keyframe in found] == ["red"] * 2 + ["lime"] * 2 + [
        "blue"
    ] * 2
    assert {(keyframe.image.mode, keyframe.image.size) for keyframe in found} == {
        ("RGB", how.get("size", (64, 48)))
    }


def test_ten_seconds_give_five() -> None:
    found = chosen(film(["red"] * 10))
    assert [(one.start_s, one.end_s) for one in found] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]


def test_one_frame_is_a_keyframe() -> None:
    (only,) = chosen(film(["blue"], 0.1))
    assert only.start_s == 0 < only.end_s < 0.2


def test_pictures_that_begin_late_count_from_the_beginning_of_the_sound() -> None:
    data = film(
        ["red", "lime"], 2.0, sine(5), starts_s=1.5, sound_starts_s=0.0, container="matroska"
    )
    found = chosen(data, keyframe_s=1.0)
    assert [one.start_s for one in found] == [0, 1, 2, 3, 4, 5]
    assert [colour(one.image) for one in found] == ["red"] * 4 + ["lime"] * 2


def test_adaptive_keyframes_are_those_that_differ() -> None:
    data = film(["red", "red", "red", "blue", "blue", "red"], 2.0)
    found = chosen(data, keyframes="adaptive")
    assert [(one.start_s, one.end_s) for one in found] == [(0, 6), (6, 10), (10, 12)]
    assert [colour(one.image) for one in found] == ["red", "blue", "red"]


@pytest.mark.parametrize(
    ("rotation", "corner"), [(0, (10, 10)), (90, (10, 50)), (180, (50, 40)), (-90, (40, 10))]
)
def test_pictures_are_turned_upright(rotation: int, corner: tuple[int, int]) -> None:
    marked = Image.new("RGB", (64, 48), "blue")
    marked.paste("red", (0, 0, 24, 24))
    (one,) = chosen(film([marked], rotation=rotation))
    assert one.image.size == ((48, 64) if rotation % 180 else (64, 48))
    assert colour(one.image, corner) == "red"
    assert colour(one.image, (one.image.width // 2, one.image.height // 2)) == "blue"


@pytest.mark.parametrize(("rotation", "size"), [(0, (32, 24)), (90, (18, 24))])
def test_high_pictures_are_shrunk(rotation: int, size: tuple[int, int]) -> None:
    (one,) = chosen(film(["red"], rotation=rotation), keyframe_height=24)
    assert one.image.size == size


@pytest.mark.parametrize(
    "how",
    [
        {"x264-params": "keyint=8:bframes=3:scenecut=0"},
        {"x264-params": "keyint=25:bframes=3:b-pyramid=strict:scenecut=0"},
        {"x264-params": "keyint=10:bframes=3:open-gop=1:scenecut=0"},
        {"x264-params": "keyint=1"},
    ],
    ids=["short", "long", "open", "intra"],
)
@pytest.mark.parametrize("container", ["mp4", "mpegts"])
@pytest.mark.parametrize("variable", [False, True])
def test_what_is_left_undecoded_changes_nothing(
    how: dict[str, str], container: str, variable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = film(numbered(10), 0.7, container=container, variable=variable, options=how)
    passed = [0, 0]

    def counted(index: int, packets: Iterator[Any]) -> Iterator[Any]:
        for packet in packets:
            passed[index] += 1
            yield packet

    needed = video._needed
    monkeypatch.setattr(video, "_needed", lambda *given: counted(0, needed(*given)))
    for step in (0.35, 1.3, 3.0):
        quick = chosen(data, keyframe_s=step)
        with monkeypatch.context() as patch:
            patch.setattr(video, "_needed", lambda every, *_: counted(1, every))
            assert quick == chosen(data, keyframe_s=step)
    many = variable or "keyint=8" not in how["x264-params"]
    assert passed[0] <= passed[1] * (1 if many else 0.7)


def test_a_broken_tail_ends_the_video() -> None:
    data = film(numbered(10), 1.0, container="mpegts")
    found = chosen(truncated(data, 0.5), keyframe_s=1.0)
    assert 3 <= len(found) <= 7
    assert found[-1].end_s < 8


@pytest.mark.parametrize(
    "data",
    [tone(1), truncated(film(["red"]), 0.3), film(["red"], container="mpegts")[:600]],
    ids=["sound", "cut", "header"],
)
def test_no_pictures_are_bad_input(data: bytes) -> None:
    with pytest.raises(BadInput):
        chosen(data)


@pytest.mark.parametrize(
    ("bounds", "named"), [({"max_seconds": 1.0}, "max_seconds"), ({"max_pixels": 3000}, "max_pix")]
)
def test_bounds_hold_while_decoding(bounds: dict[str, float], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        chosen(film(["red", "blue"]), **bounds)


def test_real_videos() -> None:
    folder = needs_media("video")
    files = {
        "datachain/Big_Buck_Bunny_360_10s_1MB.mp4": 5,
        "pixeltable/spaces_and_quote_half_res.mp4": 7,
        "pixeltable/test_462_frames.mp4": 10,
    }
    for name, count in files.items():
        data = (folder / name).read_bytes()
        assert len(chosen(data)) == count
    # Digits on a still ground change little.
    assert len(chosen(data, keyframes="adaptive")) < 5

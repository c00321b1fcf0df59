"""What is made again of sound and video after which change, in counted calls."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_media import film, sine, sound
from PIL import Image, ImageDraw, ImageFont
from projects import Ear, Models, Project, Toy, identity

from pipelines.reading.sound import from_flac

# Notes stand for words, see `Ear`.
WORDS = {5: "the river is high today", 9: "call five five five zero one nine nine"}
QUIET = np.zeros(16_000, np.int16)
STEPS = (
    *("keyframes", "transcripts", "captions", "storylines"),
    *("visual", "caption", "transcript", "audio", "video", "story", "passages"),
)
VTT = "WEBVTT\n\n00:00.000 --> 00:02.000\n{}\n\n00:02.000 --> 00:04.000\nthe ferry waits\n"


def scene(shade: int, *lines: str) -> Image.Image:
    image = Image.new("RGB", (480, 270), (shade, shade, shade))
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        pen.text((20, 30 + 50 * number), line, "black", ImageFont.load_default(28))
    return image


def models(**changed: Any) -> Models:
    return Models(**({"ear": Ear(identity("ear", 0), WORDS)} | changed))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of three scenes in which a river is spoken of, and a call; indexed as `master`."""
    folder = tmp_path_factory.mktemp("recompute-media")
    project = Project(folder / "here")
    talk = np.concatenate([QUIET, sine(1, 500), QUIET, QUIET, QUIET, QUIET])
    scenes = [scene(20), scene(240, "Mail anna.keller@harborpress.org"), scene(30)]
    (project.raw / "river.mp4").write_bytes(film(scenes, 2.0, talk, size=(480, 270)))
    (project.raw / "call.flac").write_bytes(sound(QUIET, sine(1, 900), QUIET, sine(1, 500)))
    project.index(models())
    (folder / "here").rename(folder / "master")
    return folder


@pytest.fixture
def project(place: Path) -> Iterator[Project]:
    shutil.copytree(place / "master", place / "here")
    yield Project(place / "here")
    shutil.rmtree(place / "here")


def made(project: Project, chosen: Models) -> dict[str, int]:
    """Rows made by each step that made any."""
    reports = project.index(chosen)
    return {name: reports[name].encoded for name in STEPS if reports[name].encoded}


def texts(project: Project, source: str) -> list[tuple[Any, ...]]:
    rows = project.store.texts.rows(where=f"source = '{source}'")
    return sorted((row["start_s"], row["text"]) for row in rows)


def test_a_film_is_keyframes_words_sound_and_a_story(project: Project) -> None:
    assert made(project, models()) == {}
    segments = project.store.segments.rows()
    frames = sorted(row["start_s"] for row in segments if row["kind"] == "keyframe")
    assert frames == [0.0, 2.0, 4.0]
    assert texts(project, "story") == [
        (0.0, "First a dark one, then a light one, then a dark one.")
    ]
    [(start, said), *rest] = [
        row for row in texts(project, "transcript") if row[1].startswith("the river")
    ]
    assert said == WORDS[5] and start == pytest.approx(1.0) and len(rest) == 0
    assert {row["source"] for row in project.store.findings.rows()} == {"ocr", "transcript"}


def test_what_is_private_is_neither_written_nor_heard_nor_seen(project: Project) -> None:
    said = " ".join(text for _, text in texts(project, "transcript"))
    assert "<PHONE_NUMBER>" in said and "five" not in said and "call" in said
    pieces = project.store.segments.rows(where="kind = 'sound'")
    [call] = [row for row in pieces if row["end_s"] == pytest.approx(4.0)]
    heard = from_flac(project.store.blobs.get(call["derivative"]))
    silent = heard[18_000:31_000]
    assert not silent.any(), "the number is silent"
    assert np.abs(heard[3 * 16_000 :]).max() > 10_000, "what comes after it is not"
    assert not any("anna" in text.lower() for _, text in texts(project, "ocr"))


def test_changed_subtitles_touch_the_transcript_alone(project: Project) -> None:
    (project.raw / "river.vtt").write_text(VTT.format("the river is low"))
    chosen = models()
    first = made(project, chosen)
    assert first == {"transcripts": 1, "transcript": 1, "passages": 1}
    assert not chosen.ear.seen and not chosen.ocr.seen and not chosen.image.seen
    assert (0.0, "the river is low the ferry waits") in texts(project, "transcript")
    before = sounds(project)
    (project.raw / "river.vtt").write_text(VTT.format("the river is high"))
    assert made(project, models()) == {"transcripts": 1, "transcript": 1, "passages": 1}
    assert sounds(project) == before


def sounds(project: Project) -> list[str]:
    return sorted(row["derivative"] for row in project.store.segments.rows(where="kind = 'sound'"))


def test_another_interval_touches_keyframes_and_what_follows(project: Project) -> None:
    project.settings = project.settings.model_copy(update={"keyframe_s": 1.0})
    chosen = models()
    # The pictures at even seconds stay, with new ends; the others are new.
    assert made(project, chosen) == {
        "keyframes": 1,
        "captions": 3,
        "storylines": 1,
        "visual": 3,
        "caption": 3,
        "video": 1,
        "passages": 1,
    }
    assert not chosen.ear.seen and not chosen.sound.seen
    ends = {row["start_s"]: row["end_s"] for row in vectors(project, "visual", chosen.image)}
    assert ends[0.0] == pytest.approx(1.0) and len(ends) == 6
    caption = {
        row["start_s"]: row["end_s"] for row in project.store.texts.rows(where="source = 'caption'")
    }
    assert caption == ends


def vectors(project: Project, channel: str, toy: Toy) -> list[dict[str, Any]]:
    table = project.store.channel(channel, toy.identity)
    return table.rows(["key", "start_s", "end_s"])


def test_another_speech_model_touches_what_its_words_change(project: Project) -> None:
    same = models(ear=Ear(identity("newer", 0), WORDS))
    # Everything is listened to again; as it says the same, nothing follows.
    assert made(project, same) == {"transcripts": 2}
    better = models(ear=Ear(identity("better", 0), WORDS | {5: "the river is high tonight"}))
    assert made(project, better) == {"transcripts": 2, "transcript": 2, "passages": 2}
    assert not better.sound.seen and not better.image.seen


def test_a_file_that_is_gone_leaves_nothing(project: Project) -> None:
    (project.raw / "river.mp4").unlink()
    reports = project.index(models())
    assert {name: reports[name].removed for name in ("keyframes", "visual", "video", "story")} == {
        "keyframes": 1,
        "visual": 3,
        "video": 1,
        "story": 1,
    }
    left = {row["item_id"] for row in project.store.segments.rows()}
    assert len(left) == 1

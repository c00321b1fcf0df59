"""What is noted of sound and video, and of the subtitles beside them."""

from typing import Any

import numpy as np
import pytest
from made_media import film, sine, sound, tone
from raw_files import picture

from pipelines.reading.fingerprint import SAME, match
from pipelines.recipes import digest

VTT = "WEBVTT\n\n00:00.000 --> 00:01.000\nhello there\n"


def counts(report: Any) -> tuple[int, int, int, int]:
    return report.new, report.changed, report.deleted, report.unchanged


def test_length_and_modalities_are_noted(home: Any) -> None:
    home.write("note.flac", tone(1.5))
    home.write("talk.mp4", film(["red", "blue"], 1.0, sine(2.0), size=(64, 48)))
    home.write("mute.mp4", film(["red"], 1.0))
    home.write("song.mp4", sound(sine(1.0), codec="aac"))
    home.write("photo.jpg", picture())
    home.write("page.md", "# Notes")
    assert counts(home.ingest()) == (6, 0, 0, 0)
    items = home.items()
    assert {name: (item["kind"], item["modalities"]) for name, item in items.items()} == {
        "note.flac": ("audio", ["sound"]),
        "talk.mp4": ("video", ["sound", "pictures"]),
        "mute.mp4": ("video", ["pictures"]),
        "song.mp4": ("audio", ["sound"]),
        "photo.jpg": ("image", ["pictures"]),
        "page.md": ("text", ["text"]),
    }
    assert items["note.flac"]["duration_s"] == pytest.approx(1.5, abs=0.05)
    assert items["talk.mp4"]["duration_s"] == pytest.approx(2.0, abs=0.15)
    assert (items["talk.mp4"]["width"], items["talk.mp4"]["height"]) == (64, 48)
    assert items["photo.jpg"]["duration_s"] is None


def test_the_same_recording_in_another_codec_is_recognised(home: Any) -> None:
    random = np.random.default_rng(3)
    notes = [sine(0.25, hertz) for hertz in random.uniform(200, 3000, 60)]
    others = [sine(0.25, hertz) for hertz in random.uniform(200, 3000, 60)]
    home.write("a.flac", sound(*notes))
    home.write("b.mp3", sound(*notes, codec="libmp3lame"))
    home.write("c.flac", sound(*others))
    home.ingest()
    found = {name: item["sound_hash"] for name, item in home.items().items()}
    assert match(found["a.flac"], found["b.mp3"]) >= SAME
    assert match(found["a.flac"], found["c.flac"]) < SAME


def test_subtitles_belong_to_the_file_of_their_name(home: Any) -> None:
    home.write("talk.flac", tone(1.0))
    home.write("talk.vtt", VTT)
    home.write("other.flac", tone(1.0, 550))
    home.write("lost.srt", "1\n00:00:00,000 --> 00:00:01,000\nnobody\n")
    assert counts(home.ingest()) == (2, 0, 0, 0)
    items = home.items()
    assert items["talk.flac"]["subtitles"] == (home.raw / "talk.vtt").as_uri()
    assert items["talk.flac"]["subtitles_hash"] == digest(VTT)
    assert items["other.flac"]["subtitles"] is None
    lost = home.outcomes()["lost.srt"]
    assert (
        lost["status"] == "quarantined" and "no sound or video of the same name" in lost["reason"]
    )
    before = items["talk.flac"]

    assert counts(home.ingest()) == (0, 0, 0, 2)
    home.write("talk.vtt", VTT.replace("there", "you"))
    assert counts(home.ingest()) == (0, 1, 0, 1)
    after = home.items()["talk.flac"]
    differing = {name for name in after if after[name] != before[name]}
    assert differing == {"subtitles_hash", "origins", "updated_at"}
    (home.raw / "talk.vtt").unlink()
    assert counts(home.ingest()) == (0, 1, 0, 1)
    assert home.items()["talk.flac"]["subtitles"] is None


def test_a_copy_without_subtitles_takes_none_away(home: Any) -> None:
    home.write("one/talk.flac", tone(1.0))
    home.write("one/talk.vtt", VTT)
    home.ingest()
    home.write("two/talk.flac", tone(1.0))
    home.ingest()
    [item] = {item["item_id"]: item for item in home.items().values()}.values()
    assert len(item["origins"]) == 2 and item["subtitles_hash"] == digest(VTT)
    for name in ("one/talk.vtt", "one/talk.flac"):
        (home.raw / name).unlink()
    home.ingest()
    [item] = home.items().values()
    assert item["subtitles"] is None


def test_sound_has_limits_of_its_own(home: Any) -> None:
    home.write("long.flac", tone(2.0))
    home.write("photo.jpg", picture())
    report = home.ingest(max_bytes=10_000, max_stream_bytes=100, max_seconds=1)
    assert counts(report) == (1, 0, 0, 0)
    assert "max_stream_bytes" in home.outcomes()["long.flac"]["reason"]
    report = home.ingest(max_seconds=1)
    assert "max_seconds" in home.outcomes()["long.flac"]["reason"]


def test_what_people_say_is_spoken_is_text_without_times(home: Any) -> None:
    home.write("talk.flac", tone(1.0))
    home.write("metadata.jsonl", '{"file_name": "talk.flac", "transcript": "a heron at dawn"}')
    home.ingest()
    [text] = home.store.texts.rows(where="source = 'transcript'")
    assert (text["text"], text["segment"], text["start_s"]) == ("a heron at dawn", "meta", None)

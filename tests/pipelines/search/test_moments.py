"""Moments: the part of an item that is shown, its address, and the stored piece that plays it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import toy

from pipelines.channels import CHANNELS
from pipelines.models.protocols import ModelChoice
from pipelines.releases.publish import publish
from pipelines.search import playing
from pipelines.search.answers import link
from pipelines.search.asked.query import Query
from pipelines.search.engines.protocol import EVERYTHING, Allowed
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store

PARTS = {
    "visual": ("keyframe-0000004.000", 4.0),
    "caption": ("keyframe-0000006.000", 6.0),
    "transcript": ("speech-0002", 8.5),
    "audio": ("sound-0000000.000", 0.0),
    "video": ("video", 0.0),
    "story": ("video", 0.0),
    "meta": ("meta", None),
}


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A home of a film, whose parts are still to be put there."""
    toy.use(monkeypatch)
    store = Store(str(tmp_path))
    store.items.append([{"item_id": "film", "batch": "b", "kind": "video", "deleted": False}])
    return store


def asked(store: Store, *channels: str) -> dict[str, Any]:
    """Release the film, and ask for it."""
    settings = Settings(home=Path(store.root), refuse_nonsense=False)
    publish(store, dict.fromkeys(channels, ModelChoice("toy", toy.MODEL)), settings)
    (result,) = asyncio.run(SearchService(store, settings).search(Query("3")))["results"]
    return result


@pytest.mark.parametrize(
    ("matching", "shown"),
    [
        (("transcript",), "speech-0002"),
        (("visual",), "keyframe-0000004.000"),
        (("visual", "transcript", "story"), "keyframe-0000004.000"),
        (("transcript", "meta", "story", "caption"), "speech-0002"),
        (("caption",), "keyframe-0000006.000"),
        (("meta", "caption"), None),
        (("story",), None),
    ],
)
def test_the_part_that_contributed_most_is_the_moment(
    film: Store, matching: tuple[str, ...], shown: str | None
) -> None:
    for channel, (segment, start_s) in PARTS.items():
        times = {} if start_s is None else {"start_s": start_s, "end_s": start_s + 3}
        made = toy.row("film", segment, 3 if channel in matching else 9, kind="video", **times)
        film.channel(channel, toy.MODEL).upsert([made])
    segment = asked(film, *CHANNELS)["segment"]
    if shown is None:
        assert segment is None
        return
    start_s = dict(PARTS.values())[shown]
    assert start_s is not None
    assert segment == {
        "segment": shown,
        "page": None,
        "start_s": start_s,
        "end_s": start_s + 3,
        "link": f"file:///film#t={start_s:g},{start_s + 3:g}",
    }


def test_matched_words_are_told_with_the_part_that_holds_them(film: Store) -> None:
    times = {"start_s": 8.5, "end_s": 11.5}
    shown = toy.row("film", "keyframe-0000004.000", 3, kind="video", start_s=4.0, end_s=6.0)
    said = toy.row("film", "speech-0002", 3, kind="video", **times)
    film.channel("visual", toy.MODEL).upsert([shown])
    film.passages.upsert([toy.passage(said, "3 teapots")])
    result = asked(film, "visual")
    assert result["top_channel"] == "visual" and result["segment"]["start_s"] == 4.0
    assert result["matched"] == ["3"] and result["matched_in"] == {
        "segment": "speech-0002",
        "page": None,
        **times,
        "link": "file:///film#t=8.5,11.5",
    }


@pytest.mark.parametrize(
    ("place", "fragment"),
    [
        ((None, 12.5, 15.0), "#t=12.5,15"),
        ((None, 0.0, 2.0004), "#t=0,2"),
        ((None, 3.25, None), "#t=3.25"),
        ((None, 10_799.123, 10_800.0), "#t=10799.123,10800"),
        ((3, None, None), "#page=3"),
    ],
)
def test_a_part_has_an_address(place: tuple[Any, Any, Any], fragment: str) -> None:
    assert link("s3://b/film.mp4", "x", *place) == f"s3://b/film.mp4{fragment}"


def test_a_text_chunk_has_none() -> None:
    assert link("file:///a.txt", "text-0001", None, None, None) is None


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A recording in two pieces that share two seconds, a silent film, and a picture."""
    store = Store(str(tmp_path))
    store.items.append(
        [
            {"item_id": item, "batch": "b", "deleted": item == "gone"}
            for item in ("talk", "film", "photo", "gone")
        ]
    )
    parts = [
        ("talk", "sound-0", "sound", 0.0, 30.0, ".flac"),
        ("talk", "sound-1", "sound", 28.0, 40.0, ".flac"),
        ("talk", "keyframe-0", "keyframe", 0.0, 40.0, ".jpg"),
        ("film", "keyframe-0", "keyframe", 0.0, 2.0, ".jpg"),
        ("film", "keyframe-1", "keyframe", 2.0, 4.0, ".jpg"),
        ("photo", "image", "image", None, None, ".jpg"),
        ("gone", "sound-0", "sound", 0.0, 3.0, ".flac"),
    ]
    store.segments.append(
        [
            {
                "key": f"{item}#{segment}",
                "item_id": item,
                "batch": "b",
                "segment": segment,
                "kind": kind,
                "start_s": start_s,
                "end_s": end_s,
                "derivative": f"{item}-{segment}{suffix}",
            }
            for item, segment, kind, start_s, end_s, suffix in parts
        ]
    )
    return store


@pytest.mark.parametrize(
    ("item", "at_s", "found"),
    [
        ("talk", 0.0, ("sound-0", 0.0)),
        ("talk", 12.5, ("sound-0", 12.5)),
        ("talk", 29.0, ("sound-1", 1.0)),
        ("talk", 99.0, ("sound-1", 12.0)),
        ("film", 1.9, ("keyframe-0", None)),
        ("film", 2.0, ("keyframe-1", None)),
        ("photo", 0.0, None),
        ("gone", 0.0, None),
        ("' OR 1=1 --", 0.0, None),
    ],
)
def test_the_piece_that_holds_a_moment_is_played(
    store: Store, item: str, at_s: float, found: tuple[str, float | None] | None
) -> None:
    moment = playing.moment(store, item, at_s, EVERYTHING)
    assert (moment and (moment.segment, moment.offset_s)) == found
    assert playing.moment(store, item, at_s, Allowed(hidden=frozenset({item}))) is None


def test_only_derivatives_of_shown_items_are_handed_out(store: Store) -> None:
    sound = playing.derivative(store, "talk", "sound-1", EVERYTHING)
    assert sound == playing.Derivative("talk-sound-1.flac", "audio/flac")
    image = playing.derivative(store, "photo", "image", EVERYTHING)
    assert image == playing.Derivative("photo-image.jpg", "image/jpeg")
    for item, segment in (("gone", "sound-0"), ("film", "sound-0"), ("photo", "' OR 1=1 --")):
        assert playing.derivative(store, item, segment, EVERYTHING) is None
    assert playing.derivative(store, "talk", "sound-1", Allowed("item_id <> 'talk'")) is None

"""Playing over HTTP: the stored piece at a moment, in parts, and nothing that must not be heard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import toy
from fastapi import HTTPException
from fastapi.testclient import TestClient

from pipelines.releases.publish import publish
from pipelines.settings import Settings
from pipelines.store import Store
from serving.app import create_app
from serving.transfer import byte_range

SOUND, PICTURE = bytes(range(256)) * 8, b"jpeg bytes"
SLASHED = "talks/2026 #1"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    toy.use(monkeypatch)
    store = Store(str(tmp_path))
    for kind, numbers in (("image", [1]), ("audio", [2, 3])):
        toy.put_all(store, kind, numbers, "visual")
    store.items.append([{"item_id": SLASHED, "batch": "b", "deleted": False}])
    row = toy.row(SLASHED, "sound-1", 4, kind="audio", start_s=28.0, end_s=58.0)
    store.channel("visual", toy.MODEL).upsert([row])
    assert publish(store, toy.CHOICES, Settings(home=tmp_path)).event == "promoted"
    blobs = {"sound": store.blobs.put(SOUND, ".flac"), "keyframe": store.blobs.put(PICTURE, ".jpg")}
    store.segments.append(
        [
            {
                "key": f"{item}#{segment}",
                "item_id": item,
                "batch": "b",
                "segment": segment,
                "kind": kind,
                "start_s": start_s,
                "end_s": start_s + 30,
                "derivative": blobs[kind],
            }
            for item, segment, kind, start_s in (
                ("audio-2", "sound-0", "sound", 0.0),
                ("audio-3", "keyframe-0", "keyframe", 0.0),
                (SLASHED, "sound-0", "sound", 0.0),
                (SLASHED, "sound-1", "sound", 28.0),
            )
        ]
    )
    return store


@pytest.fixture
def client(store: Store, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(home=tmp_path))) as client:
        yield client


def test_a_result_leads_to_the_sound_at_its_moment(client: TestClient) -> None:
    results = client.get("/search", params={"text": "4"}).json()["results"]
    assert results[0]["item_id"] == SLASHED
    assert results[0]["segment"]["link"].endswith("#t=28,58")
    assert results[0]["play"] == "/v1/media/talks%2F2026%20%231?at=28"
    answer = client.get(results[0]["play"], follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"] == "/v1/media/talks%2F2026%20%231/sound-1#t=0"
    played = client.get(results[0]["play"])
    assert played.content == SOUND and played.headers["content-type"] == "audio/flac"
    by_id = {result["item_id"]: result["play"] for result in results}
    assert by_id["image-1"] is None and by_id["audio-2"] == "/v1/media/audio-2?at=0"


def test_an_offset_is_told_and_a_picture_has_none(client: TestClient) -> None:
    sound = client.get("/media/audio-2?at=12.5", follow_redirects=False)
    assert sound.headers["location"] == "/v1/media/audio-2/sound-0#t=12.5"
    picture = client.get("/media/audio-3", follow_redirects=False)
    assert picture.headers["location"] == "/v1/media/audio-3/keyframe-0"
    shown = client.get("/media/audio-3/keyframe-0")
    assert shown.content == PICTURE and shown.headers["content-type"] == "image/jpeg"


def test_parts_of_a_file_are_sent(client: TestClient) -> None:
    url = "/media/audio-2/sound-0"
    whole = client.get(url)
    assert (
        whole.headers["accept-ranges"] == "bytes" and "no-store" in whole.headers["cache-control"]
    )
    part = client.get(url, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == SOUND[10:20]
    assert part.headers["content-range"] == f"bytes 10-19/{len(SOUND)}"
    assert client.get(url, headers={"Range": "bytes=-5"}).content == SOUND[-5:]
    assert client.get(url, headers={"Range": "bytes=99999-"}).status_code == 416


def test_parts_and_copies_fit_to_the_file_that_they_are_of(client: TestClient) -> None:
    url = "/media/audio-2/sound-0"
    tag = client.get(url).headers["etag"]
    part = {"Range": "bytes=0-9"}
    assert client.get(url, headers={**part, "If-Range": tag}).content == SOUND[:10]
    for other in ('"other"', f"W/{tag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        whole = client.get(url, headers={**part, "If-Range": other})
        assert whole.status_code == 200 and whole.content == SOUND
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = client.get(url, headers={**part, "If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    missing = client.get("/media/audio-9/sound-0", headers={"If-None-Match": "*"})
    assert missing.status_code == 404
    assert int(client.head(url).headers["content-length"]) == len(SOUND)


@pytest.mark.parametrize(
    ("header", "bounds"),
    [
        (None, None),
        ("bytes=0-", (0, 99)),
        ("bytes=0-0", (0, 0)),
        ("bytes=90-500", (90, 99)),
        ("bytes=-500", (0, 99)),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("seconds=0-1", None),
    ],
)
def test_a_range_is_read_as_http_says(header: str | None, bounds: tuple[int, int] | None) -> None:
    assert byte_range(header, 100) == bounds


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0"])
def test_a_range_outside_is_refused(header: str) -> None:
    with pytest.raises(HTTPException) as refused:
        byte_range(header, 100)
    assert refused.value.status_code == 416


def test_what_is_unknown_erased_or_not_stored_looks_the_same(
    client: TestClient, store: Store
) -> None:
    assert client.get("/media/audio-2/sound-0").status_code == 200
    toy.erase(store, "audio-2")
    store.blobs.remove(store.segments.rows(["derivative"], "item_id = 'audio-3'")[0]["derivative"])
    urls = [
        "/media/audio-2/sound-0",
        "/media/audio-2?at=1",
        "/media/audio-3/keyframe-0",
        "/media/audio-3/sound-0",
        "/media/no-such-item/sound-0",
        "/media/no-such-item",
        "/media/image-1?at=0",
        "/media/..%2F..%2Fetc/passwd",
    ]
    answers = [client.get(url) for url in urls]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert client.get("/media/audio-3?at=-1").status_code == 422
    assert client.get("/media/audio-3?at=nan").status_code == 422

"""Asking over HTTP with files: told by their bytes, bounded, and answered as far as possible."""

import base64
import io
from collections.abc import Iterator

import pytest
import toy
from fastapi.testclient import TestClient

from pipelines.channels import CHANNELS
from pipelines.models.protocols import ModelChoice
from pipelines.releases.publish import publish
from pipelines.settings import Settings
from pipelines.store import Store
from serving.app import create_app
from serving.limits import Limits
from tests.pipelines.made_media import film
from tests.pipelines.made_media import sound as sound_file

MOST = 200_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("uploads"))
    store = Store(settings.root)
    toy.put_all(store, "text", range(1, 5), "ocr")
    toy.put_all(store, "video", range(1, 5), *toy.SHOWN, *toy.SPOKEN)
    publish(store, {name: ModelChoice("toy", toy.MODEL) for name in CHANNELS}, settings)
    return settings


@pytest.fixture(scope="module")
def client(home: Settings) -> Iterator[TestClient]:
    app = create_app(home, Limits(body_bytes=MOST, rate=""))
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        with TestClient(app) as client:
            yield client


def image_file(number: int) -> bytes:
    buffer = io.BytesIO()
    toy.picture(number).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {
    "text": b"3",
    "image": image_file(3),
    "audio": sound_file(toy.sound(3)),
    "video": film([toy.picture(3)], 2.0, toy.sound(3, 2.0)),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_told_by_its_bytes(client: TestClient, kind: str) -> None:
    form = {"k": 1, "where": "kind = 'video'", "profile": "narrative"}
    response = client.post("/search/file", files={"file": ("upload", FILES[kind])}, data=form)
    answer = response.json()
    assert response.status_code == 200 and answer["degraded"] == []
    assert [result["item_id"] for result in answer["results"]] == ["video-3"]
    assert answer["profile"] == "narrative"
    assert answer["results"][0]["play"] == "/v1/media/video-3?at=0"


@pytest.mark.parametrize("kind", ["image", "audio", "video"])
def test_media_are_also_taken_in_base64(client: TestClient, kind: str) -> None:
    request = {kind: base64.b64encode(FILES[kind]).decode(), "k": 1}
    answer = client.post("/search", json=request).json()
    assert answer["results"][0]["item_id"] in {"video-3", "text-3"} and not answer["degraded"]
    assert client.post("/search", json={kind: "not base64!"}).status_code == 422


def test_what_is_broken_is_flagged_and_the_text_is_answered(client: TestClient) -> None:
    file = {"file": ("film.mp4", FILES["video"][:200])}
    answer = client.post("/search/file", files=file, data={"text": "3", "k": "1"})
    assert answer.status_code == 200 and answer.json()["results"]
    assert [each["input"] for each in answer.json()["degraded"]] == ["video"]
    alone = client.post("/search/file", files=file)
    assert alone.status_code == 422 and "corrupt" in alone.text


def test_large_uploads_are_refused_while_they_come_in(client: TestClient) -> None:
    large = b"1 " * MOST
    assert client.post("/search/file", files={"file": ("a.txt", large)}).status_code == 413
    assert client.post("/search", json={"image": large.decode()}).status_code == 413
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        while read < 100 * MOST:
            read += 10_000
            yield b"1" * 10_000

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused = client.post("/search/file", content=endless(), headers=headers)
    assert refused.status_code == 413 and "larger than 200,000 bytes" in refused.text


def test_an_unknown_profile_is_refused(client: TestClient) -> None:
    response = client.get("/search", params={"text": "3", "profile": "best"})
    assert response.status_code == 422 and "narrative" in response.text

"""The HTTP API over a small real release, through the ASGI app itself."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from pipelines.models import factory
from pipelines.models.protocols import ModelChoice
from pipelines.releases.publish import publish
from pipelines.settings import Settings
from pipelines.store import Store
from serving.app import create_app

TITLES = {"cup": "a coffee mug", "boat": "a sailing boat at sea", "dog": "a small brown dog"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("home")
    store = Store(str(home))
    text, image = factory.text_encoder("builtin"), factory.image_encoder("builtin")
    store.items.append(
        [{"item_id": name, "batch": "b", "origins": [], "deleted": False} for name in TITLES]
    )
    for channel, encoder in (("meta", text), ("visual", image)):
        store.channel(channel, encoder.identity).upsert(
            [
                {
                    "key": f"{name}#{channel}",
                    "item_id": name,
                    "batch": "b",
                    "segment": "meta" if channel == "meta" else "image",
                    "uri": f"file:///{name}.jpg",
                    "title": title,
                    "kind": "image",
                    "recipe": "r",
                    "attributes_hash": "a",
                    "identity": encoder.identity.as_json(),
                    "vector": encoder.encode_texts([title])[0],
                }
                for name, title in TITLES.items()
            ]
        )
    choices = {
        "meta": ModelChoice("builtin", text.identity),
        "visual": ModelChoice("builtin", image.identity),
    }
    settings = Settings(home=home)
    publish(store, choices, settings)
    with TestClient(create_app(settings)) as client:
        yield client


def picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "navy").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_text_finds_what_it_says(client: TestClient) -> None:
    answer = client.get("/search", params={"text": "sailing", "k": 2}).json()
    assert answer["release"] == "r000001" and answer["query_id"]
    assert answer["results"][0]["item_id"] == "boat"
    for result in answer["results"]:
        assert sum(result["channels"].values()) == pytest.approx(result["score"], abs=1e-9)
        assert result["segment"] is None


@pytest.mark.parametrize("request_", [{"image": picture()}, {"image": picture(), "text": "dog"}])
def test_pictures_are_accepted_alone_and_with_text(
    client: TestClient, request_: dict[str, str]
) -> None:
    response = client.post("/search", json={**request_, "k": 3})
    assert response.status_code == 200 and len(response.json()["results"]) == 3


def test_filters_apply(client: TestClient) -> None:
    request = {"text": "boat", "where": "title LIKE '%dog%'"}
    results = client.post("/search", json=request).json()["results"]
    assert [result["item_id"] for result in results] == ["dog"]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "give a text"),
        ({"text": "  "}, "give a text"),
        ({"text": "x", "where": "1 = 1; drop"}, "filter"),
        ({"image": "not base64!"}, "base64"),
        ({"image": base64.b64encode(b"no picture").decode()}, "corrupt"),
        ({"text": "x", "k": 0}, "greater than"),
    ],
)
def test_bad_queries_are_refused_with_the_way_out(
    client: TestClient, request_: dict[str, object], said: str
) -> None:
    response = client.post("/search", json=request_)
    assert response.status_code == 422 and said in response.text


def test_the_same_words_however_typed_are_one_query(client: TestClient) -> None:
    plain = client.get("/search", params={"text": "sailing boat"}).json()["results"]
    spaced = client.get("/search", params={"text": "  sailing \n boat "}).json()["results"]
    assert plain == spaced


def test_the_api_describes_itself(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"get", "post"} <= paths["/v1/search"].keys()
    assert client.get("/health").json() == {"status": "ok", "release": "r000001"}
    assert client.get("/readyz").json() == {"status": "ok", "release": "r000001"}
    assert client.get("/release").json()["channels"]["visual"]["rows"] == 3


def test_paths_answer_with_and_without_a_version(client: TestClient) -> None:
    params = {"text": "sailing"}
    plain, versioned = (client.get(f"{at}/search", params=params).json() for at in ("", "/v1"))
    assert plain["results"] == versioned["results"]


def test_what_is_like_an_item_is_found_without_it(client: TestClient) -> None:
    found = client.get("/v1/similar/boat", params={"k": 2}).json()["results"]
    assert sorted(result["item_id"] for result in found) == ["cup", "dog"]
    assert client.get("/v1/similar/ship").json() == {"detail": "there is no such item"}


def test_nothing_of_others_is_loaded_or_lets_others_in(client: TestClient) -> None:
    for path in ("/", "/v1/search?text=x", "/healthz", "/nothing"):
        answer = client.get(path, headers={"Origin": "https://elsewhere.example"})
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not any(name.startswith("access-control") for name in answer.headers)
    assert client.get("/v1/search?text=x").headers["cache-control"] == "no-store"
    assert client.get("/docs").status_code == 404


def test_the_page_is_served_and_no_other_file(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    again = client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304
    for path in ("/app.py", "/../app.py", "/%2e%2e/app.py", "/page/index.html", "/index"):
        assert client.get(path).status_code == 404


def test_without_a_release_the_way_out_is_told(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(home=tmp_path))) as client:
        for path in ("/search?text=x", "/readyz"):
            response = client.get(path)
            assert response.status_code == 503 and "mediadex index" in response.text
        assert client.get("/healthz").json() == {"status": "ok"}

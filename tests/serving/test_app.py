"""The HTTP API over a small real release, through the ASGI app itself."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from pipelines.errors import Cleaned
from pipelines.models import factory
from pipelines.models.protocols import ModelChoice
from pipelines.releases.publish import publish
from pipelines.search.service import SearchService
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
        ({"image": ""}, "corrupt"),
        ({"text": "x", "k": 0}, "greater than"),
    ],
)
def test_bad_queries_are_refused_with_the_way_out(
    client: TestClient, request_: dict[str, object], said: str
) -> None:
    response = client.post("/search", json=request_)
    assert response.status_code == 422 and said in response.text


def test_an_empty_picture_is_told_where_a_text_is_answered(client: TestClient) -> None:
    answer = client.post("/search", json={"text": "boat", "image": ""}).json()
    assert answer["results"] and [each["input"] for each in answer["degraded"]] == ["image"]


def test_a_body_that_is_no_json_is_named_as_the_body(client: TestClient) -> None:
    answer = client.post("/search", content="{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and answer.json()["detail"].startswith("body: JSON decode")


def test_a_wrong_method_names_all_that_are_right(client: TestClient) -> None:
    for path, methods in (
        ("/v1/search", "GET, HEAD, POST"),
        ("/search", "GET, HEAD, POST"),
        ("/v1/answer", "POST"),
        ("/healthz", "GET, HEAD"),
        ("/", "GET, HEAD"),
    ):
        answer = client.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods), path
    assert client.head("/v1/answer").status_code == 405


def test_head_is_get_without_a_body(client: TestClient) -> None:
    for path in ("/healthz", "/metrics", "/v1/items/boat", "/v1/items/ship", "/"):
        whole, head = client.get(path), client.head(path)
        assert head.status_code == whole.status_code and head.content == b"" != whole.content
        assert head.headers["content-type"] == whole.headers["content-type"]
    counted = 'http_requests_total{method="HEAD",route="/items/{item_id}",status="404"}'
    assert counted in client.get("/metrics").text


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


def test_hops_are_counted_and_explained_and_have_no_page_made_ready(client: TestClient) -> None:
    asked = {"text": "boat", "k": 1, "facets": True, "hops": [{"kind": "image", "threshold": -1}]}
    answer = client.post("/hops", json=asked).json()
    assert len(answer["results"]) == 1 and answer["facets"] is not None
    told = client.get(f"/explain/{answer['query_id']}").json()
    assert told["hops"] == answer["hops"] and told["hops"][0]["kind"] == "image"
    refused = client.post("/hops", json=asked | {"prefetch": True})
    assert refused.status_code == 422 and "prefetch" in refused.text


def test_a_release_that_is_gone_cannot_be_asked_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*asked: object) -> None:
        raise Cleaned("r000001 cannot be asked any more: its tables are gone")

    monkeypatch.setattr(SearchService, "replay", gone)
    refused = client.post(f"/replay/{'0' * 32}")
    assert refused.status_code == 410 and "r000001" in refused.json()["detail"]


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


def test_another_name_of_this_machine_is_refused_like_all_else(tmp_path: Path) -> None:
    client = TestClient(create_app(Settings(home=tmp_path), only_local=True))
    for host in ("evil.example", "localhost.evil.example", "localhost@evil.example", "[::1", ""):
        answer = client.get("/healthz", headers={"Host": host})
        assert answer.status_code == 400 and "localhost" in answer.json()["detail"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    for host in ("LOCALHOST", "127.0.0.1:8000", "[::1]:8000"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_without_a_release_the_way_out_is_told(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(home=tmp_path))) as client:
        for path in ("/search?text=x", "/readyz"):
            response = client.get(path)
            assert response.status_code == 503 and "mediadex index" in response.text
            assert response.headers["retry-after"] == "1"
        assert client.get("/healthz").json() == {"status": "ok"}

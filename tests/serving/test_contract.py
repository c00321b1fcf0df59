"""The API as it describes itself: whatever is sent, it is answered as documented or refused."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import toy
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from pipelines.models import factory
from pipelines.releases.publish import publish
from pipelines.settings import Settings
from pipelines.store import Store
from serving.app import create_app
from serving.limits import Limits


class Anything(toy.Toy):
    """A text encoder that takes any text."""

    def encode_texts(self, texts: list[str]) -> Any:
        return super().encode_texts([str(sum(text.encode()) % 12) for text in texts])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = Settings(home=tmp_path_factory.mktemp("contract"))
    store = Store(home.root)
    toy.put_all(store, "image", range(1, 4), "visual", "ocr")
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        patch.setattr(factory, "text_encoder", Anything)
        patch.setattr(factory, "image_encoder", Anything)
        assert publish(store, toy.CHOICES, home).event == "promoted"
        yield home


@pytest.fixture(scope="module")
def client(home: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(home, Limits(rate="")), raise_server_exceptions=False) as client:
        yield client


BOUNDED = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


def test_whatever_is_sent_is_answered_as_documented(client: TestClient) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) >= 15
    for operation in operations:

        @BOUNDED
        @given(operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(session=client, checks=CHECKS)

        ask()


FILTERS = [
    "' OR '1'='1",
    "region = 'eu' -- all",
    "region = 'eu' /* all */",
    "region = 'eu'; DROP TABLE items",
    "region = upper('eu')",
    "sleep(10)",
    "region = (SELECT region FROM items)",
    "region = 'eu' UNION SELECT 1",
    "1 = 1",
    "region = 'e\x00u'",
    "(" * 500 + "region = 'eu'" + ")" * 500,
    "NOT " * 300 + "region = 'eu'",
    " AND ".join(["region = 'eu'"] * 5_000),
    "a" * 1_000_000,
    "region = '",
    "region = \ud800",
    "  ",
]


@pytest.mark.parametrize("where", FILTERS, ids=range(len(FILTERS)))
def test_hostile_filters_are_refused(client: TestClient, where: str) -> None:
    body = json.dumps({"text": "2", "where": where})
    headers = {"Content-Type": "application/json"}
    assert client.post("/v1/search", content=body, headers=headers).status_code == 422


def test_quotes_in_a_filter_are_only_text(client: TestClient) -> None:
    answer = client.post("/v1/search", json={"text": "2", "where": "title = 'o''k'' OR 1=1'"})
    assert answer.status_code == 200 and answer.json()["results"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"x"',
        b'{"text": "a\\u0000b"}',
        b'{"text": "\\ud800"}',
        b'{"text": "x", "\\ud800": 1}',
        b'{"text": "x", "diversity": NaN}',
        b'{"text": "x", "diversity": Infinity}',
        b'{"text": "x", "k": 1e400}',
        b'{"text": "x", "k": 10000000000000000000000}',
        b'{"text": "x", "k": -1}',
        b'{"text": "x", "offset": 100000}',
        b'{"text": "x", "filter": "region = 1"}',
        b'{"text": "x", "profile": "\\u0000"}',
        b'{"text": "x", "plan": "drop"}',
        b'{"text": "x", "channels": ["nowhere"]}',
        b'{"image": "@@@@"}',
        b'{"image": "\\u00e9"}',
        b'{"image": "AAA"}',
        b'{"text": ' + b"[" * 100_000,
        json.dumps({"image": base64.b64encode(b"GIF89a" + b"\0" * 99).decode()}).encode(),
        json.dumps({"text": "x" * 100_000}).encode(),
    ],
    ids=range(25),
)
def test_bodies_that_make_no_sense_are_refused(client: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v1/search", content=body, headers=headers)
    assert 400 <= answer.status_code < 500 and isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/search",
        "/v1/search?text=%00",
        "/v1/search?text=x&k=999999999999999999999",
        "/v1/search?text=x&diversity=nan",
        "/v1/search?text=x&k=1&k=x",
        "/v1/search?text=x&unknown=1",
        "/v1/items/%00",
        "/v1/items/a%00/b",
        "/v1/items/%ff%fe",
        "/v1/items/" + "a" * 5_000,
        "/v1/items/../../etc/passwd",
        "/v1/items/' OR 1=1 --",
        "/v1/similar/%27%20OR%20%271%27=%271",
        "/v1/media/a/%00",
        "/v1/media/a?at=nan",
        "/v1/media/a?at=1e999",
        "/v1/thumbnails/a?segment=%00",
        "/v1/explain/%00",
        "/v1/explain/' OR '1'='1",
        "/..%2f..%2fetc/passwd",
        "/nothing",
    ],
)
def test_paths_that_lead_nowhere_are_refused(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert 400 <= answer.status_code < 500 and isinstance(answer.json()["detail"], str)


def test_what_was_sent_is_not_sent_back(client: TestClient) -> None:
    for body in ({"text": ["private words"]}, {"text": "x", "k": "private words"}):
        answer = client.post("/v1/search", json=body)
        assert answer.status_code == 422 and "private" not in answer.text


def test_the_answer_has_all_that_the_service_gives(client: TestClient, home: Settings) -> None:
    import asyncio

    from pipelines.search.asked.query import Query
    from pipelines.search.service import SearchService

    async def ask() -> dict[str, Any]:
        return await SearchService(Store(home.root), home).search(Query("2"), facets=True)

    given = asyncio.run(ask())
    sent = client.get("/v1/search?text=2&facets=true").json()
    assert sent.keys() >= given.keys() and sent["asked"].keys() >= given["asked"].keys()
    assert sent["results"][0].keys() >= given["results"][0].keys()
    assert sent["trace"][0].keys() >= given["trace"][0].keys()
    for result in sent["results"]:
        assert sum(result["channels"].values()) == pytest.approx(result["score"], abs=1e-6)


def test_it_describes_itself_with_examples_and_refusals(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    paths = description["paths"]
    assert {path for path in paths if not path.startswith("/v1/")} == {
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert {"get", "post"} <= paths["/v1/search"].keys()
    assert {"401", "403", "413", "422", "429", "503", "504"} <= (
        paths["/v1/search"]["post"]["responses"].keys()
    )
    assert description["components"]["schemas"]["Answer"]["examples"][0]["results"]
    assert "HTTPBearer" in description["components"]["securitySchemes"]

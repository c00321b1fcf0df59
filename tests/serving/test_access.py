"""Who may ask what: strangers, callers with and without a scope, and others' things."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import toy
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from pipelines.errors import MediadexError
from pipelines.outcomes import now
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tokens import Tokens
from serving.access import check_binding
from serving.app import create_app
from serving.gate import Guarded
from serving.limits import Limits
from serving.workers import app_from_environment, serve

PUBLIC = {"/healthz", "/readyz", "/health"}
MISSING = "0" * 12 + "7" + "0" * 19
OPERATORS = ["/v1/release", "/v1/releases", "/metrics", "/release", "/releases"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home with an item of each of two regions."""
    settings = Settings(home=tmp_path_factory.mktemp("access"), refuse_nonsense=False)
    store = Store(settings.root)
    for region, number in (("eu", 1), ("us", 2)):
        item = f"{region}/1"
        known = {"item_id": item, "kind": "image", "region": region, "deleted": False}
        store.items.append([known | {"batch": "b", "registered_at": now(), "updated_at": now()}])
        row = toy.row(item, "image", number, region=region)
        store.channel("visual", toy.MODEL).upsert([row])
        picture = {"derivative": store.blobs.put(region.encode(), ".jpg")}
        key = {"key": f"{item}#image", "item_id": item, "batch": "b", "segment": "image"}
        store.segments.append([key | picture | {"thumbnail": picture["derivative"]}])
    with pytest.MonkeyPatch.context() as patched:
        toy.use(patched)
        assert publish(store, toy.CHOICES, settings).event == "promoted"
        yield settings


@pytest.fixture(scope="module")
def client(home: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(home)) as client:
        yield client


@pytest.fixture(scope="module")
def tokens(home: Settings) -> dict[str, dict[str, str]]:
    """Headers of some callers."""
    kept = Tokens(home.home / "tokens.json")
    callers = {
        "eu": Caller(user="ana", region="eu"),
        "us": Caller(user="bob", region="us"),
        "looks": Caller(user="eve", scopes=frozenset({"search"})),
        "operator": Caller(user="op", scopes=frozenset({"search", "operate"})),
    }
    return {
        name: {"Authorization": f"Bearer {kept.add(caller)}"} for name, caller in callers.items()
    }


def test_strangers_are_told_how_to_get_in(
    client: TestClient, tokens: dict[str, dict[str, str]]
) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}):
        for path in ("/v1/search?text=1", "/v1/items/eu/1", "/metrics", "/v1/explain/0"):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert "mediadex tokens add" in answer.json()["detail"]
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_a_stranger_is_refused_before_the_body_is_read(
    client: TestClient, tokens: dict[str, dict[str, str]]
) -> None:
    read = 0

    def body() -> Iterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x" * 10_000

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/v1/search/file", content=body(), headers=headers).status_code == 401


def test_a_token_lets_do_what_its_scopes_say(
    client: TestClient, tokens: dict[str, dict[str, str]]
) -> None:
    judged = {"query_id": MISSING, "item_id": "eu/1", "kind": "click"}
    refused = client.post("/v1/feedback", json=judged, headers=tokens["looks"])
    assert refused.status_code == 403 and "`feedback`" in refused.json()["detail"]
    for path in OPERATORS:
        assert client.get(path, headers=tokens["eu"]).status_code == 403
        assert client.get(path, headers=tokens["operator"]).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/items/{}",
        "/v1/similar/{}",
        "/v1/media/{}/image",
        "/v1/media/{}?at=0",
        "/v1/thumbnails/{}",
        "/v1/thumbnails/{}?segment=image",
    ],
)
def test_what_one_may_not_see_is_answered_as_what_is_not_there(
    client: TestClient, tokens: dict[str, dict[str, str]], path: str
) -> None:
    foreign, missing = (
        client.get(path.format(item), headers=tokens["eu"]) for item in ("us/1", "no/1")
    )
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content
    named = [{**dict(each.headers), "x-request-id": ""} for each in (foreign, missing)]
    assert named[0] == named[1]


def test_each_sees_their_own(client: TestClient, tokens: dict[str, dict[str, str]]) -> None:
    for region in ("eu", "us"):
        headers = tokens[region]
        found = client.get("/v1/search?text=1&k=10", headers=headers).json()["results"]
        assert [result["item_id"] for result in found] == [f"{region}/1"]
        assert client.get(found[0]["thumbnail"], headers=headers).content == region.encode()
        item = client.get(f"/v1/items/{region}/1", headers=headers).json()
        assert item["attributes"]["region"] == region
        (segment,) = item["segments"]
        assert client.get(segment["derivative"], headers=headers).content == region.encode()
        others = client.get(f"/v1/similar/{region}/1", headers=headers)
        assert others.status_code == 200 and others.json()["results"] == []


def test_a_query_of_another_is_answered_as_a_missing_one(
    client: TestClient, tokens: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.app.state.serving.service._journal, "_patience_s", 0.0)  # type: ignore[attr-defined]
    name = client.get("/v1/search?text=1", headers=tokens["eu"]).json()["query_id"]
    own = client.get(f"/v1/explain/{name}", headers=tokens["eu"])
    assert own.status_code == 200 and own.json()["adds_up"] is True
    again = client.post(f"/v1/replay/{name}", headers=tokens["eu"]).json()
    assert again["same_ids"] and again["same_scores"]
    for ask in (
        lambda query: client.get(f"/v1/explain/{query}", headers=tokens["us"]),
        lambda query: client.post(f"/v1/replay/{query}", headers=tokens["us"]),
    ):
        foreign, missing = ask(name), ask(MISSING)
        assert foreign.status_code == missing.status_code == 404
        assert foreign.content == missing.content
    judged = {"query_id": name, "item_id": "eu/1", "kind": "good"}
    said = client.post("/v1/feedback", json=judged, headers=tokens["eu"])
    assert said.status_code == 204 and said.content == b""
    foreign = client.post("/v1/feedback", json=judged, headers=tokens["us"])
    missing = client.post("/v1/feedback", json=judged | {"query_id": MISSING}, headers=tokens["us"])
    assert foreign.status_code == missing.status_code == 422
    assert foreign.content == missing.content


def test_revoked_tokens_and_removed_files_let_nobody_in(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    headers = {"Authorization": f"Bearer {tokens.add(Caller(user='ana'))}"}
    client = TestClient(create_app(Settings(home=tmp_path)))
    assert client.get("/v1/search?text=1", headers=headers).status_code == 503  # nothing released
    tokens.revoke("ana")
    assert client.get("/v1/search?text=1", headers=headers).status_code == 401
    tokens.path.write_text("{")
    broken = client.get("/v1/search?text=1", headers=headers)
    assert broken.status_code == 503 and str(tmp_path) not in broken.text
    tokens.path.unlink()
    assert client.get("/v1/search?text=1", headers=headers).status_code == 401


def test_a_home_that_is_away_lets_nobody_in_unless_it_is_open(tmp_path: Path) -> None:
    settings, away = Settings(home=tmp_path / "home"), tmp_path / "away"
    Tokens(settings.home / "tokens.json").add(Caller(user="ana"))
    asked_nothing_yet = create_app(settings)
    settings.home.rename(away)
    for app in (asked_nothing_yet, create_app(settings)):
        assert TestClient(app).get("/v1/search?text=1").status_code == 401
    opened = create_app(settings, needs_token=False)
    assert TestClient(opened).get("/v1/search?text=1").status_code == 503  # nothing released
    away.rename(settings.home)
    assert TestClient(opened).get("/v1/search?text=1").status_code == 401


def test_a_home_without_tokens_goes_on_for_its_operator_while_it_is_away(tmp_path: Path) -> None:
    settings, away = Settings(home=tmp_path / "home"), tmp_path / "away"
    client = TestClient(create_app(settings))
    strange = client.get("/v1/search?text=1")  # maybe it has tokens
    assert strange.status_code == 401 and "is not there" in strange.json()["detail"]
    settings.home.mkdir()
    assert client.get("/v1/search?text=1").status_code == 503  # nothing released
    settings.home.rename(away)
    assert client.get("/v1/search?text=1").status_code == 503


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("with_tokens", [False, True])
def test_a_process_that_begins_while_the_home_is_away_knows_whether_tokens_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_tokens: bool, is_open: bool
) -> None:
    settings = Settings(home=tmp_path / "home")
    settings.home.mkdir()
    if with_tokens:
        Tokens(settings.home / "tokens.json").add(Caller(user="ana"))
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: settings.home.rename(tmp_path / "away"))
    with patch.dict(os.environ):
        serve(settings, Limits(), "127.0.0.1", 8000, 2, is_open)
        client = TestClient(app_from_environment(), base_url="http://localhost")
    status = 503 if is_open and not with_tokens else 401
    assert client.get("/v1/search?text=1").status_code == status


def test_every_route_is_behind_the_gate(tmp_path: Path) -> None:
    app: FastAPI = create_app(Settings(home=tmp_path))
    routes = [each.original_route for each in iter_route_contexts(app.routes)]
    api = [route for route in routes if isinstance(route, APIRoute)]
    open_ = {route.path for route in api if not isinstance(route, Guarded)}
    pages = {path for path in open_ if path == "/" or "." in path}
    assert open_ - pages == PUBLIC
    assert sum(isinstance(route, Guarded) for route in api) > 20


def test_a_home_without_tokens_is_served_to_this_machine_only(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        check_binding(settings, host, False)
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org"):
        with pytest.raises(MediadexError, match=r"mediadex tokens add .*--open"):
            check_binding(settings, host, False)
        check_binding(settings, host, True)
    Tokens(tmp_path / "tokens.json").add(Caller(user="ana"))
    check_binding(settings, "0.0.0.0", False)


def test_pages_of_the_web_cannot_come_under_a_name_of_their_own(tmp_path: Path) -> None:
    client = TestClient(create_app(Settings(home=tmp_path), only_local=True))
    for host, status in (("localhost:8000", 200), ("[::1]:8000", 200), ("evil.example", 400)):
        assert client.get("/healthz", headers={"Host": host}).status_code == status

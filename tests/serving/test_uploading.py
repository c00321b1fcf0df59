"""Adding items over HTTP: found in the next request, by those who may, and told when refused."""

import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import toy
from fastapi.testclient import TestClient
from waiting import PATIENCE_S, wait_until

from pipelines import outcomes
from pipelines.attributes import read_attributes
from pipelines.catalog.uploads import folder_of
from pipelines.privacy.pii import Detector
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.settings import Settings
from pipelines.steps.ingest import ingest
from pipelines.store import Store
from pipelines.tokens import Tokens
from serving.app import create_app
from serving.indexing import Child, IndexingFailed
from serving.limits import Limits

HERE = ("127.0.0.1", 50000)
UPLOADS = frozenset({"search", "upload"})


class NothingPrivate(Detector):
    """Finds nothing, without being loaded."""

    def find(self, *_: Any, **__: Any) -> list[Any]:
        return []


class Indexer:
    """The steps in small: a scan, a row for each item, a release; counts its runs."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.store = Store(settings.root)
        self.runs = 0
        self.begun, self.free = threading.Event(), threading.Event()
        self.free.set()

    def __call__(self) -> None:
        self.begun.set()
        self.runs += 1
        ingest(self.store, str(folder_of(self.settings)), NothingPrivate(), self.settings)
        for row in self.store.items.rows(where="media_type IS NOT NULL AND NOT deleted"):
            values = read_attributes(self.store, f"item_id = '{row['item_id']}'")[row["item_id"]]
            if row["title"] == "leaks":
                self.refuse(row)
            else:
                attributes = {**values.values, "attributes_hash": values.key}
                made = toy.row(row["item_id"], row["kind"], 3) | attributes
                self.store.channel("visual", toy.MODEL).upsert([made])
        assert publish(self.store, toy.CHOICES, self.settings).event == "promoted"
        self.free.wait(PATIENCE_S)

    def refuse(self, row: dict[str, Any]) -> None:
        reason = "private data is left after redaction: 1 PERSON"
        named = {"item_id": row["item_id"], "batch": row["batch"], "reason": reason}
        said = outcomes.outcome(row["item_id"], "redacted_media", "quarantined", "r", **named)
        outcomes.record(self.store.outcomes, "redacted_media", [said])


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(home=tmp_path, refuse_nonsense=False, mirror_bytes=0)
    (tmp_path / "policy.toml").write_text('gates = ["identities"]\n')
    toy.put_all(Store(settings.root), "image", range(1, 3), "visual")
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        publish(Store(settings.root), toy.CHOICES, settings)
        yield settings


@pytest.fixture
def indexer(settings: Settings) -> Indexer:
    return Indexer(settings)


def client_of(settings: Settings, index: Any = None, **how: Any) -> TestClient:
    limits = Limits(rate="", **how.pop("limits", {}))
    return TestClient(create_app(settings, limits, index=index), client=how.get("client", HERE))


@pytest.fixture
def tokens(settings: Settings) -> dict[str, dict[str, str]]:
    """Headers of some callers."""
    kept = Tokens(settings.home / "tokens.json")
    callers = {
        "ana": Caller(user="ana", region="eu", groups=frozenset({"press"}), scopes=UPLOADS),
        "bob": Caller(user="bob", region="us", groups=frozenset({"press"}), scopes=UPLOADS),
        "cyd": Caller(user="cyd", region="eu"),
        "nobody": Caller(region="eu", scopes=UPLOADS),
    }
    return {
        name: {"Authorization": f"Bearer {kept.add(caller)}"} for name, caller in callers.items()
    }


def add(client: TestClient, text: str = "A letter.", name: str = "a.txt", **how: Any) -> Any:
    headers = how.pop("headers", None)
    files = {"file": (name, text.encode())}
    form = {"metadata": how.pop("metadata", None) or json.dumps(how)}
    return client.post("/v1/items", files=files, data=form, headers=headers)


def found(client: TestClient, headers: dict[str, str]) -> set[str]:
    answer = client.get("/v1/search", params={"text": "3"}, headers=headers).json()
    return {result["item_id"] for result in answer["results"]}


def test_who_uploads_finds_it_in_the_next_request_and_others_as_they_may(
    settings: Settings, indexer: Indexer, tokens: dict[str, dict[str, str]]
) -> None:
    with client_of(settings, indexer) as client:
        before = found(client, tokens["ana"])
        answer = add(client, headers=tokens["ana"], title="A letter", access=["press"])
        assert answer.status_code == 201, answer.text
        told = answer.json()
        item = told["item_id"]
        assert found(client, tokens["ana"]) == before | {item}
        assert item not in found(client, tokens["bob"]) | found(client, tokens["cyd"])
        assert told["status"] == "indexed" and told["seconds"] > 0
        assert answer.headers["location"] == told["see"] == f"/v1/items/{item}"
        shown = {who: client.get(told["see"], headers=tokens[who]) for who in ("ana", "bob", "cyd")}
        assert [each.status_code for each in shown.values()] == [200, 404, 404]
        assert shown["ana"].json()["attributes"]["owner"] == "ana"
        standing = client.get(f"/v1/uploads/{item}", headers=tokens["ana"]).json()
        assert (standing["status"], standing["release"]) == ("indexed", told["release"])
        assert client.get(f"/v1/uploads/{item}", headers=tokens["bob"]).status_code == 404


def test_only_who_has_the_scope_and_a_name_may_upload(
    settings: Settings, indexer: Indexer, tokens: dict[str, dict[str, str]]
) -> None:
    with client_of(settings, indexer) as client:
        assert add(client).status_code == 401
        assert "no scope `upload`" in add(client, headers=tokens["cyd"]).json()["detail"]
        assert "names no user" in add(client, headers=tokens["nobody"]).json()["detail"]
        assert client.get("/v1/uploads/x", headers=tokens["cyd"]).status_code == 403
    assert indexer.runs == 0 and not folder_of(settings).exists()


def test_without_tokens_only_this_machine_and_no_page_of_the_web_may(settings: Settings) -> None:
    with client_of(settings) as client:
        assert add(client).status_code == 202
        own = {"Origin": "http://testserver"}
        assert add(client, headers=own).status_code == 202
        assert add(client, headers={"Origin": "http://elsewhere.example"}).status_code == 403
    with client_of(settings, client=("10.0.0.7", 1)) as client:
        assert add(client).status_code == 403


def test_an_id_of_somebody_else_is_refused(
    settings: Settings, indexer: Indexer, tokens: dict[str, dict[str, str]]
) -> None:
    with client_of(settings, indexer) as client:
        assert add(client, headers=tokens["ana"], item_id="image-1").status_code == 409
        assert add(client, headers=tokens["ana"], item_id="mine").status_code == 201
        assert add(client, headers=tokens["bob"], item_id="mine").status_code == 409
        again = add(client, "New words.", headers=tokens["ana"], item_id="mine")
        assert again.status_code == 201 and again.json()["item_id"] == "mine"


@pytest.mark.parametrize(
    "said",
    [
        {"metadata": "["},
        {"metadata": '{"title": "\\ud800"}'},
        {"colour": "red"},
        {"owner": "bob"},
        {"title": ["secret"]},
        {"item_id": "a\nb"},
        {"item_id": ""},
        {"item_id": "a/../b"},
        {"item_id": "."},
        {"region": "us"},
        {"access": ["hr"]},
        {"name": "a.exe", "text": "MZ"},
        {"text": ""},
    ],
)
def test_what_is_not_understood_or_allowed_is_refused_and_kept_nowhere(
    settings: Settings, tokens: dict[str, dict[str, str]], said: dict[str, Any]
) -> None:
    with client_of(settings) as client:
        answer = add(client, headers=tokens["ana"], **said)
    assert answer.status_code == 422 and "secret" not in answer.text
    assert not [path for path in folder_of(settings).rglob("*") if path.name != ".lock"]


def test_what_is_too_large_is_refused(settings: Settings) -> None:
    with client_of(settings, limits={"body_bytes": 5_000}) as client:
        assert add(client, "x" * 10_000).status_code == 413


def test_what_is_kept_out_is_told_with_the_reason_and_nothing_of_it(
    settings: Settings, indexer: Indexer, tokens: dict[str, dict[str, str]]
) -> None:
    with client_of(settings, indexer) as client:
        answer = add(client, "Ann lives here.", headers=tokens["ana"], item_id="i", title="leaks")
        assert answer.status_code == 422 and "private data is left" in answer.json()["detail"]
        standing = client.get("/v1/uploads/i", headers=tokens["ana"]).json()
        assert standing["status"] == "refused" and "1 PERSON" in standing["reason"]
        assert "Ann" not in json.dumps(standing) and "i" not in found(client, tokens["ana"])


def test_without_an_indexer_it_waits_for_a_scan(settings: Settings, indexer: Indexer) -> None:
    with client_of(settings) as client:
        answer = add(client, item_id="a/1")
        assert answer.status_code == 202
        assert answer.json()["see"] == answer.headers["location"] == "/v1/uploads/a/1"
        assert client.get("/v1/uploads/a/1").json()["status"] == "waiting"
        indexer()
        wait_until(lambda: client.get("/v1/uploads/a/1").json()["status"] == "indexed")


def test_a_long_run_is_not_waited_for_and_those_who_wait_share_the_next(
    settings: Settings, indexer: Indexer
) -> None:
    indexer.free.clear()
    with client_of(settings, indexer, limits={"seconds": 4}) as client:
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(add, client, "One.", item_id="1")
            assert indexer.begun.wait(PATIENCE_S)
            others = [pool.submit(add, client, str(n), item_id=f"{n}") for n in range(2, 5)]
            assert {each.result().status_code for each in (first, *others)} == {202}
        assert indexer.runs == 1
        indexer.free.set()
        with ThreadPoolExecutor(2) as pool:
            again = [pool.submit(add, client, str(n), item_id=f"{n}") for n in range(2, 5)]
            assert {each.result().status_code for each in again} == {201}
        assert indexer.runs <= 4


def test_a_failing_indexer_leaves_uploads_waiting(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def index() -> None:
        raise ValueError("a value of somebody")

    with client_of(settings, index, limits={"seconds": 1.5}) as client:
        assert add(client).status_code == 202
    assert "uploads are not indexed: ValueError" in caplog.text
    assert "somebody" not in caplog.text


CHILD = """
import os, sys, time
while os.read(0, 100):
    work = open(sys.argv[1]).read()
    if work == "end":
        os.close(1)
        time.sleep(0.2)
        os._exit(1)
    print(work, flush=True)
"""


def test_a_child_works_once_a_call_and_is_started_again(tmp_path: Path) -> None:
    work = tmp_path / "work"
    child = Child([sys.executable, "-c", CHILD, str(work)])
    try:
        work.write_text("{}")
        child()
        first = child.pid
        child()
        assert child.pid == first
        work.write_text('{"error": "no space is left"}')
        with pytest.raises(IndexingFailed, match="no space is left"):
            child()
        work.write_text("end")
        with pytest.raises(IndexingFailed, match="ended too early"):
            child()
        work.write_text("{}")
        child()
        assert child.pid != first
    finally:
        child.close()
    assert child.pid is None

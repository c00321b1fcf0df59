"""Answers and descriptions over HTTP: what they cite, who may ask, what is refused."""

import base64
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import toy
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw, ImageFont

from pipelines.models import factory
from pipelines.models.protocols import ModelChoice
from pipelines.models.suite import ModelSuite
from pipelines.privacy.pii import Detector, Finding
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search.words import terms
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tokens import Tokens
from serving.app import create_app

MUG, VAULT = "shop/mug", "shop/vault"
HOT = "The mug keeps tea hot for an hour."
SECRET = "The vault opens at nine."


class Words(toy.Toy):
    """An encoder by the words of a text; pictures go by their number."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.full((len(texts), toy.DIMENSION), 1e-3, np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for term in terms(text):
                row[zlib.crc32(term.encode()) % toy.DIMENSION] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Mails(Detector):
    """Finds e-mail addresses alone."""

    def find(self, text: str, entities: Sequence[str] | None = None) -> list[Finding]:
        found = re.finditer(r"\S+@\S+", text)
        return [Finding("EMAIL_ADDRESS", each.start(), each.end(), 1.0) for each in found]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Two pictures with text and caption, of one region each."""
    settings = Settings(home=tmp_path_factory.mktemp("answers"), refuse_nonsense=False)
    store = Store(settings.root)
    for number, (item, text, region) in enumerate(
        [(MUG, HOT, "eu"), (VAULT, SECRET, "us")], start=3
    ):
        fact = {"item_id": item, "batch": "b", "kind": "image", "region": region}
        store.items.append([fact | {"origins": [], "deleted": False}])
        row = toy.row(item, "image", number, region=region, title=item)
        for channel in ("visual", "caption"):
            store.channel(channel, toy.MODEL).upsert([row])
        kept = {name: value for name, value in row.items() if name not in ("identity", "vector")}
        store.passages.upsert([kept | {"source": "ocr", "text": text}])
        said = {"source": "caption", "text": f"a photo of a blue {item.partition('/')[2]}"}
        place = {name: row[name] for name in ("key", "item_id", "batch", "segment")}
        store.texts.append([place | said])
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        for job in ("text_encoder", "image_encoder"):
            patch.setattr(factory, job, Words)
        patch.setattr(ModelSuite, "detector", lambda suite: Mails())
        publish(store, toy.CHOICES | {"caption": ModelChoice("toy", toy.MODEL)}, settings)
        yield settings


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture(scope="module")
def headers(settings: Settings) -> dict[str, dict[str, str]]:
    tokens = Tokens(settings.home / "tokens.json")
    callers = {
        "eu": Caller(user="ana", region="eu"),
        "us": Caller(user="bob", region="us"),
        "judge": Caller(user="eve", scopes=frozenset({"feedback"})),
        "operator": Caller(user="op", scopes=frozenset({"search", "operate"})),
    }
    return {
        name: {"Authorization": f"Bearer {tokens.add(caller)}"} for name, caller in callers.items()
    }


def encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


Headers = dict[str, dict[str, str]]


def test_a_question_is_answered_with_citations(client: TestClient, headers: Headers) -> None:
    body = {"question": "how long does the mug keep tea hot"}
    told = client.post("/v1/answer", json=body, headers=headers["eu"]).json()
    assert told["answer"] == HOT and told["sentences"] == [{"text": HOT, "citations": [1]}]
    (cited,) = told["citations"]
    assert (cited["item_id"], cited["quote"], cited["number"]) == (MUG, HOT, 1)
    assert cited["thumbnail"] == "/v1/thumbnails/shop%2Fmug" and told["no_answer"] is None
    why = client.get(f"/v1/explain/{told['query_id']}", headers=headers["eu"]).json()
    assert MUG in [result["item_id"] for result in why["results"]]
    asked = body | {"image": encoded(toy.picture(3))}
    assert client.post("/v1/answer", json=asked, headers=headers["eu"]).json()["answer"] == HOT


def test_nothing_is_told_of_what_a_caller_may_not_see(client: TestClient, headers: Headers) -> None:
    body = {"question": "when is it that the vault opens"}
    assert client.post("/v1/answer", json=body, headers=headers["us"]).json()["answer"] == SECRET
    refused = client.post("/v1/answer", json=body, headers=headers["eu"])
    assert "nine" not in refused.text and refused.json()["no_answer"]
    hidden, missing = (
        client.post("/v1/describe", json={"items": [item]}, headers=headers["eu"])
        for item in (VAULT, "no such")
    )
    assert hidden.status_code == missing.status_code == 404 and hidden.json() == missing.json()


def test_pictures_and_items_are_described_together(client: TestClient, headers: Headers) -> None:
    body = {"images": [encoded(toy.picture(7))], "items": [MUG, VAULT]}
    told = client.post("/v1/describe", json=body, headers=headers["operator"])
    assert told.status_code == 404  # an operator's token is no right to another region
    body["items"] = [MUG]
    told = client.post("/v1/describe", json=body, headers=headers["eu"]).json()
    assert told["sentences"] == [
        {"text": "Picture 1 shows 7.", "citations": [1]},
        {"text": "Picture 2 shows a photo of a blue mug.", "citations": [2]},
        {"text": f"Picture 2 reads “{HOT}”.", "citations": [2]},
    ]
    upload, item = told["pictures"]
    assert upload["item_id"] is None and item["thumbnail"] == "/v1/thumbnails/shop%2Fmug"
    assert told["description"] == " ".join(each["text"] for each in told["sentences"])


def test_private_text_in_an_upload_is_masked(client: TestClient, headers: Headers) -> None:
    image = Image.new("RGB", (1100, 160), "white")
    font = ImageFont.load_default(size=44)
    ImageDraw.Draw(image).text((20, 50), "write about the lamps to ana@example.com", "black", font)
    body = {"images": [encoded(image)]}
    answer = client.post("/v1/describe", json=body, headers=headers["eu"])
    assert "about the lamps" in answer.text and "<EMAIL_ADDRESS>" in answer.text
    assert "example.com" not in answer.text


BROKEN = base64.b64encode(b"no picture").decode()


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("answer", {}, "question"),
        ("answer", {"question": ""}, "question"),
        ("answer", {"question": " \n "}, "in words"),
        ("answer", {"question": "x" * 2_001}, "question"),
        ("answer", {"question": "a\x00b"}, "question"),
        ("answer", {"question": "x", "k": 9}, "k"),
        ("answer", {"question": "x", "where": "1 = 1; drop"}, "filter"),
        ("answer", {"question": "x", "image": "?"}, "base64"),
        ("answer", {"question": "x", "profile": "best"}, "profile"),
        ("describe", {}, "1 to 8"),
        ("describe", {"items": [MUG] * 9}, "items"),
        ("describe", {"items": [MUG] * 5, "images": [BROKEN] * 5}, "1 to 8"),
        ("describe", {"images": ["?"]}, "base64"),
        ("describe", {"images": [BROKEN]}, "picture 1"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_way_out(
    client: TestClient, headers: Headers, path: str, body: dict[str, Any], said: str
) -> None:
    answer = client.post(f"/v1/{path}", json=body, headers=headers["eu"])
    assert answer.status_code == 422 and said in answer.json()["detail"]


def test_answers_are_behind_the_gate_and_measured(client: TestClient, headers: Headers) -> None:
    body = {"question": "how hot is the mug"}
    for path in ("answer", "describe"):
        assert client.post(f"/v1/{path}", json=body).status_code == 401
        assert client.post(f"/v1/{path}", json=body, headers=headers["judge"]).status_code == 403
    count = re.compile(r"^(generation|retrieval)_time_ms_count (\d+)", re.MULTILINE)

    def counted() -> dict[str, int]:
        text = client.get("/metrics", headers=headers["operator"]).text
        return {name: int(number) for name, number in count.findall(text)}

    before = counted()
    client.post("/v1/answer", json=body, headers=headers["eu"])
    assert counted() == {name: number + 1 for name, number in before.items()}
    assert before.keys() == {"generation", "retrieval"}
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/answer", "/v1/describe"} <= paths.keys()

"""Answers: what is quoted, what it rests on, and that nothing is told that may not be seen."""

import asyncio
import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from typer.testing import CliRunner

from cli import app
from pipelines.answering import questions
from pipelines.answering.citations import Citation, Sentence, numbered, verified
from pipelines.answering.describing import Pictured, describe
from pipelines.answering.extractive import Extractive
from pipelines.answering.passages import Passage
from pipelines.answering.questions import SILENT, UNANSWERED, answer
from pipelines.answering.sentences import quotes_in
from pipelines.errors import BadInput
from pipelines.models import factory
from pipelines.models.suite import ModelSuite
from pipelines.privacy.pii import Detector
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search.asked.query import Query
from pipelines.search.service import Document, SearchService
from pipelines.search.words import terms
from pipelines.settings import Settings
from pipelines.store import Store

BOTTLE = (
    "# Trail bottle\n\nIt keeps tea hot for twelve hours and water\n"
    "cold for a full day. Made by Dr. Sand in Oslo.\n\n- Weight: 340 g\n- Lid: bamboo"
)
RECEIPT = "CORNER STORE\nAlmond croissant 3.90\nGross weight\n31.5 kg\n█\nTOTAL $13.93"
TEXTS = {
    "bottle": BOTTLE,
    "receipt": RECEIPT,
    "lease": "1. The rent is 1850 a month. 2. The tenant may not sublet the darkroom.",
    "copy": "Notes of the owner. The tenant may not sublet the darkroom.",
    "secret": "The vault opens at nine.",
}
EU = Caller(user="ana", region="eu")


def passage(text: str, item_id: str = "one", source: str = "body") -> Passage:
    uri = f"file:///{item_id}"
    return Passage(item_id, uri, None, "text", source, "body", None, None, None, text)


def quotes(text: str, source: str = "body") -> list[str]:
    return [quote.text for quote in quotes_in(passage(text, source=source))]


class Bag:
    """An encoder by the words of a text: alike is what shares them."""

    identity = toy.MODEL

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), 512), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for term in terms(text):
                row[zlib.crc32(term.encode()) % 512] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


class Anything(toy.Toy):
    """An encoder of pictures that takes any text."""

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return super().encode_texts([str(len(text) % 12) for text in texts])


class NothingPrivate(Detector):
    """Finds nothing, and loads nothing."""

    def find(self, *_: Any, **__: Any) -> list[Any]:
        return []


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home to read; `own` is one to change."""
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        patch.setattr(factory, "image_encoder", Anything)
        patch.setattr(ModelSuite, "detector", lambda suite: NothingPrivate())
        yield stocked(tmp_path_factory.mktemp("answers"))


@pytest.fixture
def own(home: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(home.home, tmp_path / "own")
    return home.model_copy(update={"home": tmp_path / "own"})


def stocked(path: Path) -> Settings:
    settings = Settings(home=path, refuse_nonsense=False)
    store = Store(settings.root)
    made = []
    for number, (item_id, text) in enumerate(TEXTS.items()):
        region = "us" if item_id == "secret" else "eu"
        row = toy.row(item_id, "body", number, kind="text", region=region)
        store.channel("visual", toy.MODEL).upsert([row])
        made.append(toy.passage(row, text, "ocr" if item_id == "receipt" else "body"))
        fact = {"item_id": item_id, "batch": "b", "kind": "text", "region": region}
        store.items.append([fact | {"origins": [], "deleted": False}])
    store.passages.upsert(made)
    publish(store, toy.CHOICES, settings)
    return settings


def service_of(settings: Settings) -> SearchService:
    return SearchService(Store(settings.root), settings)


def ask(settings: Settings, question: str, caller: Caller | None = None) -> Document:
    return asyncio.run(answer(service_of(settings), Query(question, k=8), caller=caller))


def test_prose_is_cut_at_its_sentences_and_lists_at_their_lines() -> None:
    assert quotes(BOTTLE) == [
        "# Trail bottle",
        "It keeps tea hot for twelve hours and water cold for a full day.",
        "Made by Dr. Sand in Oslo.",
        "- Weight: 340 g",
        "- Lid: bamboo",
    ]
    assert quotes(TEXTS["lease"])[1:] == ["2. The tenant may not sublet the darkroom."]
    long = quotes("word " * 300)
    assert len(long) == 4 and max(map(len, long)) <= 400 and "".join(long).count("word") == 300


def test_a_label_in_a_form_is_offered_with_what_the_next_line_holds() -> None:
    found = quotes(RECEIPT, "ocr")
    assert "Gross weight 31.5 kg" in found and "TOTAL $13.93" in found
    assert not any("█" in quote and len(quote) > 1 for quote in found)
    assert "Gross weight 31.5 kg" not in quotes(RECEIPT)


def test_only_what_stands_in_a_passage_of_a_shown_item_is_given_out() -> None:
    one, other = passage(BOTTLE), passage(RECEIPT, "other")
    true = Citation(one, "twelve hours and water cold for")
    assert true.holds
    changed, empty = Citation(one, "eleven hours and water cold"), Citation(one, " ")
    elsewhere = Citation(other, "TOTAL $13.93")
    sentences = [
        Sentence("a", (true, changed)),
        Sentence("b", (empty,)),
        Sentence("c", (elsewhere,)),
    ]
    assert verified(sentences, {"one"}) == [Sentence("a", (true,))]
    assert len(verified(sentences, {"one", "other"})) == 2


@pytest.mark.parametrize("encoder", [None, Bag()], ids=["words", "vectors"])
def test_the_best_sentence_is_quoted_and_none_where_none_answers(encoder: Any) -> None:
    read = [passage(text, item_id) for item_id, text in TEXTS.items()]
    writer = Extractive(encoder)
    hot = writer.write("how many hours does it keep tea hot", read)
    assert hot[0].text == "It keeps tea hot for twelve hours and water cold for a full day."
    assert hot[0].citations[0].passage.item_id == "bottle"
    assert writer.write("which planet has rings", read) == []
    assert writer.write("tea hot", [passage("Hot tea.")]) == []


def test_equal_sentences_of_two_items_are_one_with_two_citations() -> None:
    read = [passage(f"Owner {name}.\nThe tenant may not sublet.", name) for name in "ab"]
    (said,) = Extractive(Bag()).write("may the tenant sublet or move", read)
    assert [each.passage.item_id for each in said.citations] == ["a", "b"]
    assert numbered([said])["sentences"] == [
        {"text": "The tenant may not sublet.", "citations": [1, 2]}
    ]


def test_an_answer_cites_the_words_of_what_was_found(home: Settings) -> None:
    told = ask(home, "how long does it keep tea hot")
    assert told["no_answer"] is None and told["release"] == "r000001" and told["query_id"]
    first = told["sentences"][0]
    cited = told["citations"][first["citations"][0] - 1]
    assert cited["item_id"] == "bottle" and cited["quote"] == first["text"] in told["answer"]
    assert cited["link"] == cited["uri"] == "file:///bottle"
    steps = {step["step"]: step for step in told["trace"]}
    assert [*steps] == ["retrieve", "read", "write", "verify"]
    assert {"encode", "search"} <= steps["retrieve"]["parts"].keys()


def test_without_an_answer_the_reason_is_told(home: Settings) -> None:
    told = ask(home, "which planet has rings")
    assert told["answer"] is None and told["citations"] == [] and told["no_answer"] == UNANSWERED
    silent = asyncio.run(answer(service_of(home), Query("tea", where="region = 'mars'")))
    assert silent["no_answer"] == SILENT
    with pytest.raises(BadInput, match="in words"):
        ask(home, "  ")


def test_rights_and_the_ledger_hold_for_quotes(own: Settings) -> None:
    question = "when does the vault open"
    assert ask(own, question)["citations"][0]["item_id"] == "secret"
    assert "secret" not in json.dumps(ask(own, question, EU))
    toy.erase(Store(own.root), "secret")
    assert "nine" not in json.dumps(ask(own, question))


def test_an_item_that_is_erased_while_the_answer_is_written_is_dropped(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Extractive.write

    def write(self: Extractive, *given: Any) -> list[Sentence]:
        toy.erase(Store(own.root), "secret")
        sentences = written(self, *given)
        assert sentences
        return sentences

    monkeypatch.setattr(Extractive, "write", write)
    told = ask(own, "when does the vault open")
    assert told["sentences"] == [] and told["no_answer"] == UNANSWERED


def test_an_answer_is_kept_for_those_who_read_the_same(own: Settings) -> None:
    question = Query("when does the vault open", k=8)

    async def ask_again() -> None:
        service = service_of(own)
        first, again = [await answer(service, question) for _ in range(2)]
        assert service.cache.stats()["prompts"] == (1, 1)
        assert first["citations"] == again["citations"] and first["query_id"] != again["query_id"]
        assert (await answer(service, question, caller=EU))["answer"] is None
        toy.erase(Store(own.root), "secret")
        assert (await answer(service, question))["answer"] is None

    asyncio.run(ask_again())


def test_no_more_than_eight_items_are_read(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = questions.read_passages
    read: list[int] = []

    async def counted(view: Any, items: Sequence[str], question: str) -> Any:
        read.append(len(items))
        return await real(view, items, question)

    monkeypatch.setattr(questions, "read_passages", counted)
    monkeypatch.setattr(questions, "MOST_ITEMS", 2)
    ask(home, "may the tenant sublet the darkroom")
    assert read == [2]


def test_the_command_answers_people_and_programs(home: Settings) -> None:
    run = ["answer", "how long does it keep tea hot", "--home", str(home.home)]
    told = CliRunner().invoke(app, run).stdout
    assert "twelve hours" in told and "[1] file:///bottle" in told
    document = json.loads(CliRunner().invoke(app, [*run, "--json"]).stdout)
    assert document["citations"][0]["item_id"] == "bottle"


def test_a_set_is_described_by_what_each_shows_and_what_several_share() -> None:
    said = describe(
        [
            Pictured("a photo of a red mug", "WELCOME\nto the fair"),
            Pictured("a photo of a mug and a plant"),
            Pictured("a photo of a red mug"),
            Pictured(),
        ]
    )
    assert said[0] == {"text": "Pictures 1 and 3 show a photo of a red mug.", "citations": [1, 3]}
    assert {"text": "Picture 1 reads “WELCOME to the fair”.", "citations": [1]} in said
    assert said[-2] == {
        "text": "Pictures 1, 2 and 3 have in common: mug.",
        "citations": [1, 2, 3],
    }
    assert said[-1]["citations"] == [1, 3] and "red" in said[-1]["text"]
    assert describe([Pictured("a boat")])[-1]["text"] == "Picture 1 shows a boat."

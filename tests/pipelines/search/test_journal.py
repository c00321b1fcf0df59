"""The journal: what was answered is on record, adds up, can be asked again, and can be erased."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import stocked
from pydantic_core import to_json
from toy import CHOICES, Toy, fill, item_id
from waiting import PATIENCE_S

from pipelines import ledger, outcomes
from pipelines.erasure import facts
from pipelines.erasure.purge import purge
from pipelines.errors import BadInput, MediadexError
from pipelines.models import factory
from pipelines.privacy.pii import Finding
from pipelines.releases import log
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search.answers import as_document
from pipelines.search.asked.encoding import Encoded, Probe
from pipelines.search.asked.query import Guess, Query, Sound
from pipelines.search.engines.found import Found
from pipelines.search.fusion.evidence import Evidence
from pipelines.search.fusion.scores import Scored
from pipelines.search.hops import Hop
from pipelines.search.journal import queries, writing
from pipelines.search.journal.explaining import adds_up, explanation
from pipelines.search.journal.feedback import Feedback, labels
from pipelines.search.journal.queries import Journal, new_id
from pipelines.search.journal.records import Record, recorded, repeated
from pipelines.search.journal.replay import difference, replayed_query
from pipelines.search.journal.rows import record_of, row_of
from pipelines.search.journal.writing import Writer
from pipelines.search.retrieval import Retrieval
from pipelines.search.searcher import Searcher
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.upkeep.survey import survey_tables
from pipelines.upkeep.tidy import tidy


class PatternDetector:
    """Finds e-mail addresses and one name, without loading Presidio."""

    entities = ("EMAIL_ADDRESS", "PERSON")
    _patterns = (("EMAIL_ADDRESS", r"[\w.]+@\w+\.\w+"), ("PERSON", r"(?i)ada lovelace"))

    def find(self, text: str, entities: Any = None) -> list[Finding]:
        found = [
            Finding(kind, match.start(), match.end(), 1.0)
            for kind, pattern in self._patterns
            if entities is None or kind in entities
            for match in re.finditer(pattern, text)
        ]
        return sorted(found, key=lambda finding: finding.start)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def journal(store: Store) -> Iterator[Journal]:
    made = Journal(store, PatternDetector, every_s=0.02)  # type: ignore[arg-type]
    yield made
    made.close()


def hits(**values: float) -> Found:
    return Found.of([*values], np.array([*values.values()]), np.arange(len(values)))


def retrieval(**changed: Any) -> Retrieval:
    """A query that was answered, from the first step to the last, with two items."""
    vector = np.array([0.6, 0.8], np.float32)
    known: dict[str, Any] = {
        "query": Query("red boat", k=2),
        "encoded": Encoded({"visual": Probe(vector, "text"), "ocr": Probe(vector, "text")}),
        "hits": {"visual": hits(a=0.31, b=0.2), "ocr": hits(b=0.44)},
        "similarities": Evidence.of({"a": {"visual": 0.31}, "b": {"visual": 0.2, "ocr": 0.44}}),
        "evidence": Evidence.of({"a": {"visual": 0.5}, "b": {"visual": 0.2, "ocr": 0.3}}),
        "weights": {"visual": 1.0, "ocr": 1.0},
        "ranked": [Scored("a", 0.5, {"visual": 0.5}), Scored("b", 0.25, {"visual": 0.1})],
    }
    searcher: Any = SimpleNamespace(engine=None)
    return Retrieval(searcher=searcher, settings=Settings(), **known | changed)


def document(query_id: str | None = None, **changed: Any) -> dict[str, Any]:
    return {
        "query_id": query_id or new_id(),
        "release": "r1",
        "profile": "default",
        "plan": "parallel",
        "asked": {"words": "text", "text": "red boat", "read": None, "sound": None},
        "degraded": [],
        "widened": False,
        "no_match": None,
        "cached": None,
        "trace": [{"step": "encode", "at_ms": 0.0, "ms": 1.0, "parts": {"visual": 1.0}}],
        "results": [result("a", 0.5, visual=0.5), result("b", 0.25, visual=0.1, ocr=0.15)],
        **changed,
    }


def result(item: str, score: float, **channels: float) -> dict[str, Any]:
    return {"item_id": item, "score": score, "channels": channels, "matched": ["red"]}


def record(query_id: str | None = None, **changed: Any) -> Record:
    return replace(recorded(retrieval(), document(query_id)), **changed)


def get(journal: Journal, query_id: str, caller: Caller | None = None) -> Record | None:
    return asyncio.run(journal.get(query_id, caller))


# --- Writing -------------------------------------------------------------------------------------


def test_what_is_read_is_what_was_written(journal: Journal, store: Store) -> None:
    caller = Caller(user="p-1", region="eu", groups=frozenset({"b", "a"}))
    query = Query("red boat", where="region = 'eu'", channels=("visual",), diversity=0.5, offset=1)
    made = recorded(retrieval(query=query), document(), caller)
    journal.add(made)
    assert journal.flush()
    other = Journal(store, PatternDetector)  # type: ignore[arg-type]
    found = get(other, made.query_id)
    assert found is not None and found.at == made.at
    assert str(row_of(replace(found, at=made.at))) == str(row_of(made))
    assert not found.masked and found.items == {"a", "b"}
    (row,) = store.queries.rows()
    assert len(row["vectors"]) == 1, "the channels were asked with the same vector"
    expected = [[np.nan, 0.44], [0.31, 0.2]]
    assert np.allclose(row["similarities"], expected, equal_nan=True)
    assert row["channels"] == ["ocr", "visual"] and row["confidence"] == 0.5


def test_a_query_is_found_before_it_is_written(store: Store) -> None:
    begin = threading.Event()

    def detector() -> Any:
        begin.wait(PATIENCE_S)
        return PatternDetector()

    journal = Journal(store, detector, every_s=0)
    made = record()
    started = time.monotonic()
    journal.add(made)
    assert get(journal, made.query_id) is made
    assert time.monotonic() - started < PATIENCE_S, "nobody waits for the detector"
    begin.set()
    journal.close()
    assert store.queries.read(["query_id"]).num_rows == 1


def test_a_query_of_another_process_is_waited_for(journal: Journal, store: Store) -> None:
    other = Journal(store, PatternDetector, every_s=0.3)  # type: ignore[arg-type]
    made = record()
    other.add(made)
    found = get(journal, made.query_id)
    assert found is not None and found.query_id == made.query_id
    other.close()


def aged(seconds: float) -> str:
    """An id that was made so long ago."""
    return f"{int((time.time() - seconds) * 1000):012x}" + new_id()[12:]


def test_unknown_ids_are_not_waited_for_unless_they_are_new(journal: Journal) -> None:
    started = time.monotonic()
    strange = ("x", "' OR '1' = '1", "", "é" * 32, "f" * 12 + new_id()[12:], "0" * 32)
    for each in (aged(60), aged(-600), aged(-5), *strange):
        assert get(journal, each) is None
    assert time.monotonic() - started < journal._patience_s


def test_anothers_query_is_looked_for_as_long_as_a_missing_one(store: Store) -> None:
    journal = Journal(store, PatternDetector, 0.02, patience_s=0.6)  # type: ignore[arg-type]
    mine = recorded(retrieval(), document(), Caller(user="p-1"))
    journal.add(mine)
    assert get(journal, mine.query_id, Caller(user="p-1")) is not None
    for query_id in (lambda: mine.query_id, new_id):
        started = time.monotonic()
        assert get(journal, query_id(), Caller(user="p-2")) is None
        assert time.monotonic() - started > 0.4
    journal.close()


def test_few_wait_and_they_take_no_thread_of_the_searches(store: Store) -> None:
    journal = Journal(store, PatternDetector, patience_s=0.6)  # type: ignore[arg-type]

    async def ask() -> tuple[int, float]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        waiting = [asyncio.create_task(journal.get(new_id())) for _ in range(40)]
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        await asyncio.to_thread(lambda: None)
        took = time.monotonic() - begun
        left = sum(not each.done() for each in waiting)
        assert await asyncio.gather(*waiting) == [None] * 40
        return left, took

    left, took = asyncio.run(ask())
    assert left == queries._MOST_WAITING and took < 0.3 and journal._waiting == 0


def test_the_oldest_are_dropped_and_counted_when_too_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "MOST", 3)
    go, begun = threading.Event(), threading.Event()
    written: list[list[int]] = []

    def write(batch: list[int]) -> None:
        begun.set()
        go.wait(PATIENCE_S)
        written.append(batch)

    writer = Writer(write, every_s=0)
    writer.add(0)
    assert begun.wait(PATIENCE_S)
    for number in range(1, 6):
        writer.add(number)
    assert writer.dropped == 2 and writer.unwritten() == [0, 3, 4, 5]
    go.set()
    assert writer.flush(PATIENCE_S)
    writer.close()
    assert [number for batch in written for number in batch] == [0, 3, 4, 5]
    writer.add(6)
    assert writer.dropped == 3, "nothing is taken after the end"


def test_entries_are_written_in_batches_and_a_failed_one_is_counted() -> None:
    batches: list[int] = []

    def write(batch: list[int]) -> None:
        batches.append(len(batch))
        if 450 in batch:
            raise OSError("the text of an error tells nothing here")

    writer = Writer(write, every_s=60)
    for number in range(writing.BATCH * 2 + 60):
        writer.add(number)
    assert writer.flush(PATIENCE_S)
    assert batches == [200, 200, 60] and writer.dropped == 60
    assert not writer.flush(0) or writer.unwritten() == []
    writer.close()


def test_ids_are_uuids_in_the_order_of_time() -> None:
    import uuid

    made = []
    for _ in range(3):
        made.append(new_id())
        time.sleep(0.002)
    assert made == sorted(made)
    assert {uuid.UUID(each).version for each in made} == {7}
    assert {uuid.UUID(each).variant for each in made} == {uuid.RFC_4122}


# --- Privacy -------------------------------------------------------------------------------------


def test_no_private_value_reaches_the_table(journal: Journal, store: Store) -> None:
    said = "call ada lovelace now"
    query = Query("mail of ada@x.org", where="owner = 'ada@x.org' AND width > 5", k=2)
    asked = {"words": "text", "text": query.text, "read": "Ada Lovelace", "sound": None}
    results = [result("a", 0.5, visual=0.5) | {"matched": ["mail", "ada"]}]
    made = recorded(retrieval(query=query), document(asked=asked, results=results))
    heard = Query(guess=Guess(said, "transcript"), sound=Sound(np.zeros(4, np.int16), 1.0, 2.0))
    asked = {"words": "transcript", "text": said, "read": None, "sound": None}
    spoken = recorded(retrieval(query=heard), document(asked=asked))
    clean = record()
    for each in (made, spoken, clean):
        journal.add(each)
    assert journal.flush()
    written = "".join(map(str, store.queries.rows())).lower()
    assert "ada@x.org" not in written and "lovelace" not in written and "'ada'" not in written
    found = get(journal, made.query_id)
    assert found is not None and found.masked
    assert found.request["text"] == "mail of <EMAIL_ADDRESS>"
    assert found.request["where"] == "owner = '<EMAIL_ADDRESS>' AND width > 5"
    assert found.answer["asked"] == made.answer["asked"] | {
        "text": "mail of <EMAIL_ADDRESS>",
        "read": "<PERSON>",
    }
    assert found.results[0]["matched"] == ["mail"]
    assert explanation(found)["masked"] and difference(found, document())["masked"]
    heard_again = get(journal, spoken.query_id)
    assert heard_again is not None and heard_again.request["guess"]["text"] == "call <PERSON> now"
    assert heard_again.answer["asked"]["text"] == "call <PERSON> now"
    unchanged = get(journal, clean.query_id)
    assert unchanged is not None and not unchanged.masked


def test_an_answer_is_known_to_who_asked_and_to_the_operator() -> None:
    ada, bob, anyone = Caller(user="p-1"), Caller(user="p-2"), Caller()
    of_ada = recorded(retrieval(), document(), ada)
    assert of_ada.is_of(ada) and of_ada.is_of(None)
    assert of_ada.is_of(Caller(user="p-1", region="eu")), "her rights may have changed since"
    assert not of_ada.is_of(bob) and not of_ada.is_of(anyone)
    unnamed = recorded(retrieval(), document(), anyone)
    assert unnamed.is_of(anyone) and not unnamed.is_of(Caller(region="eu"))
    assert not record().is_of(ada), "the operator's own"


# --- Explaining ----------------------------------------------------------------------------------


def test_an_explanation_tells_every_part_of_every_score() -> None:
    made = record()
    told = explanation(made)
    assert [
        {name: value for name, value in each.items() if name != "rank"} for each in told["results"]
    ] == document()["results"]
    assert [each["rank"] for each in told["results"]] == [1, 2]
    assert told["adds_up"] and told["hidden"] == 0 and told["weights"] == made.weights
    assert told["candidates"][0]["similarity"] == {"visual": pytest.approx(0.31)}
    assert told["candidates"][1]["evidence"] == pytest.approx({"ocr": 0.3, "visual": 0.2})
    wrong = [result("a", 0.5, visual=0.4999), result("b", 0.3, visual=0.3 + 1e-7)]
    assert [adds_up(each) for each in wrong] == [False, True]
    assert not explanation(replace(made, results=wrong))["adds_up"]


def test_hidden_items_are_counted_and_never_named() -> None:
    told = explanation(record(), {"b", "elsewhere"})
    assert told["hidden"] == 1
    assert [each["item_id"] for each in told["results"]] == ["a"]
    assert [each["item_id"] for each in told["candidates"]] == ["a"]
    assert "'b'" not in str(told)


def test_a_cached_answer_is_explained_by_the_query_that_it_repeats(
    journal: Journal,
) -> None:
    ada, bob = Caller(user="p-1"), Caller(user="p-2")
    first = recorded(retrieval(), document(), ada)
    again = repeated(Query("red boat"), document(cached="results"), first.query_id, ada)
    others = repeated(Query("red boat"), document(cached="results"), first.query_id, bob)
    lost = repeated(Query("red boat"), document(cached="results"), new_id())
    for each in (first, again, others, lost):
        journal.add(each)
    assert journal.flush()
    found = get(journal, again.query_id, ada)
    assert found is not None
    told = explanation(found)
    assert told["repeats"] == first.query_id
    assert told["cached"] == "results" and told["candidates"] == explanation(first)["candidates"]
    of_bob = get(journal, others.query_id, bob)
    assert of_bob is not None and explanation(of_bob)["candidates"] == told["candidates"]
    assert first.query_id not in str(explanation(of_bob)), "ids tell when somebody asked"
    without = get(journal, lost.query_id)
    assert without is not None and explanation(without)["candidates"] == []
    assert explanation(without)["repeats"] is None


# --- Replaying -----------------------------------------------------------------------------------


def test_a_replay_asks_with_the_same_vectors_rights_and_kinds_of_media(journal: Journal) -> None:
    caller = Caller(user="p-1", region="eu", groups=frozenset({"x"}))
    query = Query(
        where="region = 'eu'",
        sound=Sound(np.ones(8, np.int16), 1.0, 2.5),
        clip=(blank(), blank()),
        guess=Guess("a boat", "caption"),
        channels=("visual", "ocr"),
        plan="ann_then_bm25",
        diversity=0.7,
        offset=3,
        k=4,
    )
    degraded = [{"channel": "audio", "reason": "gone"}, {"input": "file", "reason": "broken"}]
    made = recorded(
        retrieval(query=query), document(degraded=degraded, profile="narrative"), caller
    )
    journal.add(made)
    assert journal.flush()
    found = get(journal, made.query_id)
    assert found is not None
    again, encoded, who = replayed_query(found)
    assert who == caller and again.literal == query.literal and again.guess == query.guess
    assert again.profile == "narrative", "the one that was chosen"
    for name in ("where", "channels", "plan", "diversity", "offset", "k", "reranker", "words"):
        assert getattr(again, name) == getattr(query, name), name
    assert again.clip and again.sound and again.image is None and not again.is_empty
    assert (again.sound.start_s, again.sound.end_s) == (1.0, 2.5)
    assert [each.as_document() for each in encoded.degraded] == degraded
    for name, probe in made.probes.items():
        assert np.array_equal(encoded.probes[name].vector, probe.vector)
        assert encoded.probes[name].medium == probe.medium


def blank() -> Any:
    from PIL import Image

    return Image.new("RGB", (4, 4))


def test_a_difference_is_told_by_ids_and_by_the_largest_part() -> None:
    made = record()
    same_again = difference(made, document())
    assert same_again["same_ids"] and same_again["same_scores"] and same_again["same_release"]
    moved = document(release="r2", results=[result("a", 0.5, visual=0.3, ocr=0.2)])
    told = difference(made, moved)
    assert not (told["same_ids"] or told["same_scores"] or told["same_release"])
    assert (told["missing"], told["added"]) == (1, 0)
    assert told["max_difference"] == pytest.approx(0.2)
    swapped = document(results=document()["results"][::-1])
    assert not difference(made, swapped)["same_ids"] and difference(made, swapped)["same_scores"]


def test_a_replay_on_the_release_that_answered_is_the_same(
    tmp_path: Path, store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "image_encoder", Toy)
    settings = Settings(home=tmp_path, index_rows=300)
    fill(store, range(30))
    publish(store, CHOICES, settings)

    async def ask() -> tuple[Record, dict[str, Any]]:
        searcher = Searcher(store, log.require(store), settings)
        answered = await searcher.answer(Query("3", k=5, where="region = 'eu'", offset=1))
        made = recorded(answered, as_document(answered, new_id()))
        journal.add(made)
        assert journal.flush()
        kept = await journal.get(made.query_id)
        assert kept is not None
        again, encoded, _ = replayed_query(kept)

        def no_model(*spec: Any) -> Any:
            raise AssertionError("nothing is to be encoded again")

        monkeypatch.setattr(factory, "image_encoder", no_model)
        replay = await Searcher(store, log.require(store), settings).answer(again, given=encoded)
        return kept, as_document(replay, new_id())

    kept, answer = asyncio.run(ask())
    assert len(kept.results) == 5 and kept.candidates.items[0] == item_id(3)
    assert all(adds_up(each) for each in kept.results)
    told = difference(kept, answer)
    assert told["same_ids"] and told["same_scores"] and told["max_difference"] == 0.0


# --- Feedback ------------------------------------------------------------------------------------


@pytest.fixture
def feedback(store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feedback]:
    monkeypatch.setattr(journal, "_patience_s", 0.0)
    made = Feedback(store, journal, every_s=0.02)
    yield made
    made.close()


def say(feedback: Feedback, *said: Any, **how: Any) -> None:
    asyncio.run(feedback.add(*said, **how))


def test_feedback_is_taken_of_what_was_answered_alone(
    store: Store, journal: Journal, feedback: Feedback
) -> None:
    mine = recorded(retrieval(query=Query("red boat", offset=10)), document(), Caller(user="p-1"))
    journal.add(mine)
    anyone = Caller(region="us")
    unnamed = recorded(retrieval(), document(), anyone)
    journal.add(unnamed)
    ada, bob = Caller(user="p-1"), Caller(user="p-2")
    say(feedback, mine.query_id, "b", "click", caller=ada)
    say(feedback, mine.query_id, "a", "good", 3, caller=ada)
    say(feedback, unnamed.query_id, "a", "bad", caller=anyone)
    refused: list[tuple[Any, ...]] = [
        (aged(60), "a", "click", 1, ada),
        (mine.query_id, "a", "click", 1, bob),
        (mine.query_id, "a", "click", 1, None),
        (unnamed.query_id, "a", "click", 1, Caller(region="eu")),
        (unnamed.query_id, "c", "click", 1, Caller(region="eu")),
        (mine.query_id, "c", "click", 1, ada),
        (mine.query_id, "a", "love", 1, ada),
        (mine.query_id, "a", "click", 0, ada),
    ]
    told = set()
    for arguments in refused:
        with pytest.raises(BadInput) as error:
            say(feedback, *arguments)
        told.add(str(error.value))
    assert len(told) == 4, "another's query is told like one that never was"
    assert feedback.flush()
    rows = store.feedback.rows(["item_id", "kind", "position", "user"])
    assert sorted(map(str, rows)) == sorted(
        map(
            str,
            [
                {"item_id": "b", "kind": "click", "position": 12, "user": "p-1"},
                {"item_id": "a", "kind": "good", "position": 3, "user": "p-1"},
                {"item_id": "a", "kind": "bad", "position": 1, "user": None},
            ],
        )
    )


def test_labels_grade_by_the_newest_verdict_then_by_clicks(
    store: Store, journal: Journal, feedback: Feedback
) -> None:
    assert labels(store) == []
    one, two = record(), record()
    private = recorded(retrieval(query=Query("of ada@x.org")), document())
    picture = recorded(retrieval(query=Query(image=blank())), document())
    for each in (one, two, private, picture):
        journal.add(each)
    for each, item, kind in (
        (one, "a", "good"),
        (two, "a", "bad"),
        (two, "a", "click"),
        (one, "b", "click"),
        (private, "a", "good"),
        (picture, "a", "good"),
    ):
        say(feedback, each.query_id, item, kind)
    assert journal.flush() and feedback.flush()
    assert graded(store) == [("red boat", {"a": 0, "b": 1}), (None, {"a": 2})]
    store.ledger.append([{"event": "erased", "item_id": "b", "at": outcomes.now()}])
    assert graded(store) == [("red boat", {"a": 0}), (None, {"a": 2})]


def graded(store: Store) -> list[tuple[str | None, dict[str, int]]]:
    found = [(each.record.request["text"], {**each.grades}) for each in labels(store)]
    return sorted(found, key=lambda pair: str(pair[0]), reverse=True)


# --- Erasure and age -----------------------------------------------------------------------------

GONE, LEFT = 7, 3
# Nothing was encoded, since vectors were given.
GIVEN = [{"step": "encode", "at_ms": 0.25, "ms": 0.0, "parts": {}}]


def telling(number: int, like: str | None = None) -> Record:
    """A query that was answered with a stocked item, as real answers tell of it."""
    shown = result(stocked.item_id(number), 0.5, visual=0.5) | {
        "uri": stocked.uri(number),
        "title": f"Title {number:05d} of somebody",
    }
    return replace(record(), results=[shown]) if like is None else asked_by(like)


def asked_by(*like: str, hop: Hop | None = None) -> Record:
    given = replace(retrieval().encoded, like=like)
    return recorded(retrieval(encoded=given), document(trace=GIVEN), hop=hop)


def test_nothing_in_the_journal_tells_of_a_purged_item(
    tmp_path: Path, store: Store, journal: Journal, feedback: Feedback
) -> None:
    settings = Settings(home=tmp_path)
    stocked.stock(store, range(10))
    stocked.release(store, settings)
    gone, left, hop = stocked.item_id(GONE), stocked.item_id(LEFT), Hop("image", 0.5)
    others = [record(), telling(LEFT), asked_by(left, hop=hop)]
    title = recorded(retrieval(query=Query(f"Title {GONE:05d} of somebody")), document())
    vector = replace(record(), probes={"visual": Probe(stocked.vector(GONE), "pictures")})
    doomed = [telling(GONE), asked_by(gone), asked_by(left, gone, hop=hop), title, vector]
    short = recorded(retrieval(query=Query(f"tagged{GONE:05d}")), document())
    for each in (*others, *doomed, short):
        journal.add(each)
        assert journal.flush()
    say(feedback, doomed[0].query_id, stocked.item_id(GONE), "good")
    say(feedback, others[1].query_id, stocked.item_id(LEFT), "good")
    assert feedback.flush()
    held = {what for some in journal_traces(tmp_path).values() for what in some}
    assert held >= {"id", "uri", "title", "vector"}
    ledger.erase(store, [stocked.item_id(GONE)], "asked to")
    proof = purge(store, settings, grace_s=0)
    assert proof is not None and proof.searched["delta/queries"].decoded >= 1
    # A tag is a word that anyone may ask for.
    assert {what for some in journal_traces(tmp_path).values() for what in some} == {"tag"}
    assert asked(store) == {each.query_id for each in (*others, short)}
    assert store.feedback.rows(["item_id"]) == [{"item_id": stocked.item_id(LEFT)}]
    # What still waited in some process while the purge was done.
    journal.add(telling(GONE))
    journal.add(record())
    assert journal.flush()
    assert {what for some in journal_traces(tmp_path).values() for what in some} == {"tag"}
    assert store.queries.read(["query_id"]).num_rows == 5


def asked(store: Store) -> set[str]:
    return {*store.queries.read(["query_id"])["query_id"].to_pylist()}


def test_queries_that_do_not_name_whose_vectors_they_hold_go_with_the_first_purge(
    tmp_path: Path, store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    stocked.stock(store, range(2))
    stocked.release(store, settings)
    known = record()
    old = replace(asked_by("x"), request=known.request)
    for each in (known, old):
        journal.add(each)
    assert journal.flush()
    ledger.erase(store, [stocked.item_id(1)], "asked to")
    with monkeypatch.context() as patch:
        patch.setattr(facts, "unnamed", lambda store: [])
        with pytest.raises(MediadexError, match="1 queries with vectors of items that they do not"):
            purge(store, settings, grace_s=0)
    assert purge(store, settings, grace_s=0) and asked(store) == {known.query_id}


def test_an_item_is_read_as_older_versions_wrote_it() -> None:
    row = row_of(asked_by("x")) | {"request": to_json(record().request | {"like": "x"}).decode()}
    assert record_of(row).request["like"] == ["x"] and "x" in record_of(row).items


def journal_traces(home: Path) -> dict[str, set[str]]:
    found = stocked.traces(home, GONE)
    return {path: what for path, what in found.items() if path.startswith(("delta/q", "delta/fe"))}


def test_old_queries_go_and_small_files_are_merged(
    tmp_path: Path, store: Store, journal: Journal, feedback: Feedback
) -> None:
    old = replace(record(), at=outcomes.now() - outcomes.dt.timedelta(days=31))
    for each in (old, record(), record(), record()):
        journal.add(each)
        assert journal.flush()
    say(feedback, old.query_id, "a", "click")
    assert feedback.flush()

    def files() -> int:
        state = next(each for each in survey_tables(store, 7) if each.table == "queries")
        return state.small_files

    assert files() == 4
    report = tidy(store, Settings(home=tmp_path, keep_query_days=30), ())
    assert report.rows_removed == 1 and files() == 0
    assert store.queries.read(["query_id"]).num_rows == 3
    assert get(journal, old.query_id) is None
    assert labels(store) == []


def test_many_small_files_are_merged_while_writing(
    store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.search.journal import tables as module

    monkeypatch.setattr(module, "_COMMITS", 4)
    for _ in range(6):
        journal.add(record())
        assert journal.flush()
    state = next(each for each in survey_tables(store, 7) if each.table == "queries")
    assert state.rows == 6 and state.small_files < 4

"""Answers that are given again: from caches within the same rights, and from the journal."""

import datetime as dt
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from toy import CHOICES, fill, item_id
from two_regions import EU, US, Home, ids, opened

from pipelines.errors import BadInput
from pipelines.models import factory
from pipelines.outcomes import now
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search.asked.query import Query
from pipelines.search.kept import Question
from pipelines.search.service import SearchService


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with opened(tmp_path) as home:
        yield home


def test_the_same_question_is_answered_from_the_cache_as_a_query_of_its_own(home: Home) -> None:
    first, second = home.ask("3"), home.ask(" 3 ")
    assert (first["cached"], second["cached"]) == (None, "results")
    assert second["results"] == first["results"] and second["query_id"] != first["query_id"]
    assert home.ask("3", k=4)["cached"] is None
    assert home.service.stats()["caches"]["results"] == (1, 2)


def test_no_answer_crosses_rights(home: Home) -> None:
    eu, us = home.ask("3", EU), home.ask("3", US)
    assert {*ids(eu)} == {item_id(number) for number in range(6)} and us["cached"] is None
    assert {*ids(us)} == {item_id(number) for number in range(6, 10)}
    again = home.ask("3", Caller(user="eve", region="EU"))
    assert again["cached"] == "results" and ids(again) == ids(eu), "the same rights see the same"
    assert home.ask("3", Caller())["results"] == []


def test_a_region_that_changed_holds_before_it_is_indexed_and_in_older_releases(
    home: Home,
) -> None:
    before = home.ask("3", EU)
    assert item_id(2) in ids(before) and home.ask("3", EU)["cached"] == "results"
    row = home.store.items.rows(where=f"item_id = '{item_id(2)}'")[0]
    moved = row | {"region": "us", "updated_at": now()}
    home.store.items.replace(f"item_id = '{item_id(2)}'", [moved])
    home.run(home.service.view())
    after = home.ask("3", EU)
    assert after["cached"] is None and item_id(2) not in ids(after)
    assert {*ids(after)} == {*ids(before)} - {item_id(2)}
    assert home.run(home.service.item(item_id(2), EU)) is None


def test_a_release_of_rows_that_are_older_than_their_items_shows_nothing_withdrawn(
    home: Home,
) -> None:
    long_ago = {"updated_at": now() - dt.timedelta(days=1)}
    for number, change in ((2, {"region": "us"}), (4, {"deleted": True})):
        where = f"item_id = '{item_id(number)}'"
        [row] = home.store.items.rows(where=where)
        home.store.items.replace(where, [row | long_ago | change])
    assert publish(home.store, CHOICES, home.settings).manifest.release == "r000002"
    answer = home.ask("3", EU)
    assert answer["release"] == "r000002"
    assert {*ids(answer)} == {item_id(number) for number in (0, 1, 3, 5)}
    assert {*ids(home.ask("4", k=20))} == {item_id(each) for each in range(10) if each != 4}


def test_neither_a_release_nor_an_erasure_is_answered_by_what_was_before(home: Home) -> None:
    before = home.ask("3", k=20)
    toy.erase(home.store, item_id(3))
    after = home.ask("3", k=20)
    assert after["cached"] is None and item_id(3) not in ids(after)
    fill(home.store, [11], region="eu")
    publish(home.store, CHOICES, home.settings)
    fresh = home.ask("3", k=20)
    assert fresh["cached"] is None and item_id(11) in ids(fresh)
    # As a purge leaves it: the item is named no more, and nothing is hidden by its id.
    home.store.ledger.replace("event = 'erased'", [])
    purged = home.ask("3", k=20)
    assert purged["cached"] is None and before["query_id"] != purged["query_id"]


class Counting(toy.Toy):
    """An encoder to which words of one length mean the same."""

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.stack([toy.vector(len(text)) for text in texts])


def test_a_question_that_means_the_same_is_answered_alike_where_that_is_wanted(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "image_encoder", Counting)
    assert [home.ask(word)["cached"] for word in ("boat", "ship")] == [None, None]
    alike = Home(home.settings.model_copy(update={"semantic_cache": True}))
    first, second = alike.ask("boat"), alike.ask("ship")
    assert second["cached"] == "semantic" and second["results"] == first["results"]
    assert alike.ask("canoe")["cached"] is None
    assert alike.ask("ship", EU)["cached"] is None, "other rights, other answers"
    alike.close()


def test_words_matched_are_those_that_were_asked_with_now(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "image_encoder", Counting)
    said = toy.passage(toy.row(item_id(3), "image", 3), "red boats in a row")
    home.store.passages.upsert([said])
    publish(home.store, CHOICES, home.settings)
    alike = Home(home.settings.model_copy(update={"semantic_cache": True}))

    def words(text: str, cached: str | None) -> list[str]:
        answer = alike.ask(text, k=20)
        assert answer["cached"] == cached
        [found] = [each for each in answer["results"] if each["item_id"] == item_id(3)]
        return found["matched"]  # type: ignore[no-any-return]

    assert words("Boats row red", None) == ["Boats", "row", "red"]
    assert words("rows and BOAT", "semantic") == ["rows", "BOAT"]
    alike.close()


def test_answers_of_other_settings_are_not_given(home: Home) -> None:
    view = home.run(home.service.view())

    def key(**changed: Any) -> str:
        searcher = copy(view.searcher)
        searcher.settings = home.settings.model_copy(update=changed)
        return Question(Query("3"), replace(view, searcher=searcher), None, None).key

    others = {
        key(**{name: value})
        for name, value in (
            ("reranker", "lexical"),
            ("cross_encoder", "m"),
            ("recency", 0.2),
            ("personal", 0.1),
            ("refuse_nonsense", True),
        )
    }
    assert len(others | {key()}) == 6 and key(workers=7) == key()


def test_a_query_is_explained_and_replayed_by_its_id(home: Home) -> None:
    answer = home.ask("3", EU, k=4)
    for query_id in (answer["query_id"], home.ask("3", EU, k=4)["query_id"]):
        told = home.run(home.service.explain(query_id, EU))
        assert [each["channels"] for each in told["results"]] == [
            each["channels"] for each in answer["results"]
        ]
        assert told["adds_up"] and told["candidates"][0]["similarity"].keys() >= {"visual"}
        again = home.run(home.service.replay(query_id, EU))
        assert again["same_ids"] and again["max_difference"] < 1e-6 and again["same_release"]
        assert home.run(home.service.explain(query_id, US)) is None, "another's is a missing one"
        assert home.run(home.service.replay(query_id, US)) is None
    assert home.run(home.service.explain("0" * 32, EU)) is None


def test_a_query_is_replayed_on_the_release_that_answered(home: Home) -> None:
    answer = home.ask("3", EU, k=4)
    fill(home.store, [11], region="eu")
    publish(home.store, CHOICES, home.settings)
    assert home.ask("3", EU, k=4)["release"] == "r000002"
    again = home.run(home.service.replay(answer["query_id"], EU))
    assert again["release"] == "r000001" and again["same_ids"] and again["max_difference"] < 1e-6


def test_what_is_hidden_by_now_is_neither_explained_nor_replayed(home: Home) -> None:
    answer = home.ask("3", k=3)
    gone = ids(answer)[0]
    toy.erase(home.store, gone)
    told = home.run(home.service.explain(answer["query_id"]))
    assert told["hidden"] == 1 and gone not in str(told)
    assert home.run(home.service.replay(answer["query_id"]))["missing"] >= 1


def test_only_what_was_shown_can_be_judged_and_by_whom(home: Home) -> None:
    answer = home.ask("3", EU, k=2)
    home.run(home.service.feedback(answer["query_id"], ids(answer)[0], "click", EU))
    with pytest.raises(BadInput, match="not in that answer"):
        home.run(home.service.feedback(answer["query_id"], item_id(9), "click", EU))
    with pytest.raises(BadInput, match="no such query"):
        home.run(home.service.feedback(answer["query_id"], ids(answer)[0], "click", US))


def test_no_name_is_written_down(home: Home) -> None:
    home.ask("3", EU)
    home.close()
    delta = Path(home.store.root) / "delta" / "queries"
    files = [each.read_bytes() for each in delta.rglob("*") if each.is_file()]
    assert files and not any(b"ana" in each and b"banana" not in each for each in files)
    [row] = home.store.queries.rows(["user"])
    assert row["user"] == home.service.pseudonym("ana")


def test_a_share_of_the_users_gets_the_profile_on_trial_and_always_the_same_ones(
    home: Home,
) -> None:
    trial = {"trial_profile": "hybrid", "trial_share": 0.3}
    tried = SearchService(home.store, home.settings.model_copy(update=trial))

    def profiles() -> list[str]:
        callers = [Caller(user=f"user-{number}", region="eu") for number in range(60)]
        answers = [home.run(tried.search(Query("3"), caller=each)) for each in callers]
        return [answer["profile"] for answer in answers]

    first = profiles()
    assert first == profiles() and 8 <= first.count("hybrid") <= 28
    assert home.run(tried.search(Query("3")))["profile"] == "default", "operators are no users"

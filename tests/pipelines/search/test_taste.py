"""Taste: off unless wanted and agreed to, a part of the score, and gone with what it came from."""

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from toy import MODEL, ModelChoice, item_id

from pipelines.models.suite import ModelSuite
from pipelines.outcomes import dt, now
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search.asked.query import Query
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store

ANA = Caller(user="ana", region="eu", personal=True)
EVE = Caller(user="eve", region="eu", personal=True)
SHY = Caller(user="ana", region="eu")
LIKED, ALIKE, FIRST = 20, 21, 1


def leaning(towards: int, away: int) -> list[float]:
    """A vector between those of two numbers."""
    mixed = toy.vector(towards) + toy.vector(away)
    return (mixed / np.linalg.norm(mixed)).tolist()  # type: ignore[no-any-return]


class NothingPrivate:
    """Finds nothing."""

    def find(self, *_: Any) -> list[Any]:
        return []


class Home:
    """Some pictures of 1, of which one is like the picture that ana liked."""

    def __init__(self, path: Path):
        self.settings = Settings(home=path, refuse_nonsense=False, personal=0.3)
        self.store = Store(self.settings.root)
        toy.catalog(self.store, (FIRST, LIKED, ALIKE, *range(2, 6)))
        rows = toy.rows((FIRST, LIKED, ALIKE, *range(2, 6)))
        by_item = {row["item_id"]: row for row in rows}
        by_item[item_id(ALIKE)]["vector"] = leaning(FIRST, LIKED)
        self.store.channel("visual", MODEL).upsert(rows)
        (path / "policy.toml").write_text('gates = ["identities"]\n')
        publish(self.store, {"visual": ModelChoice("toy", MODEL)}, self.settings)
        self.runner = asyncio.Runner()
        self.service = self.serving()

    def serving(self, **changed: Any) -> SearchService:
        return SearchService(
            self.store, self.settings.model_copy(update=changed), mirror=True, journal=True
        )

    def ask(self, caller: Caller | None, text: str = "1", **how: Any) -> dict[str, Any]:
        return self.runner.run(self.service.search(Query(text, **how), caller=caller))

    def judge(self, caller: Caller, number: int, kind: Any = "good") -> None:
        answer = self.ask(caller, str(number))
        feedback = self.service.feedback(answer["query_id"], item_id(number), kind, caller)
        self.runner.run(feedback)
        assert self.service._feedback is not None and self.service._feedback.flush()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    toy.use(monkeypatch)
    monkeypatch.setattr(ModelSuite, "detector", lambda suite: NothingPrivate())
    home = Home(tmp_path)
    home.run(home.service.start())
    yield home
    home.run(home.service.close())


def part(answer: dict[str, Any], number: int = ALIKE) -> float | None:
    [found] = [each for each in answer["results"] if each["item_id"] == item_id(number)]
    return found["channels"].get("personal")  # type: ignore[no-any-return]


def test_it_is_off_by_default_and_without_consent_nothing_is_read(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.judge(ANA, LIKED)
    assert Settings().personal == 0 and not Caller().personal
    service, home.service = home.service, home.serving(personal=0.0)
    assert part(home.ask(ANA)) is None
    home.service = service

    def unread(*_: Any) -> Any:
        raise AssertionError("nothing is read about them")

    monkeypatch.setattr("pipelines.search.taste._liked", unread)
    for caller in (SHY, None, Caller(region="eu", personal=True)):
        assert part(home.ask(caller)) is None


def test_what_was_liked_lifts_what_is_like_it_and_scores_still_add_up(home: Home) -> None:
    home.judge(ANA, LIKED)
    plain, hers = home.ask(SHY, k=7), home.ask(ANA, k=7)
    assert [each["item_id"] for each in plain["results"]] != [
        each["item_id"] for each in hers["results"]
    ]
    for each in hers["results"]:
        assert math.isclose(sum(each["channels"].values()), each["score"], abs_tol=1e-9)
    assert part(hers, LIKED) == pytest.approx(0.3, abs=1e-3), "it is what it is like"
    assert 0.05 < (part(hers) or 0) < 0.3
    told = home.run(home.service.explain(hers["query_id"], ANA))
    assert told["adds_up"] and told["weights"]["personal"] == 0.3
    assert told["candidates"][0]["evidence"].keys() >= {"visual", "personal"}
    assert part(home.ask(EVE)) is None, "she has liked nothing yet"


def test_an_answer_is_never_anothers_nor_of_before_the_last_click(home: Home) -> None:
    home.judge(ANA, LIKED, "click")
    first = home.ask(ANA)
    assert home.ask(ANA)["cached"] == "results"
    home.judge(EVE, LIKED, "click")
    assert home.ask(EVE)["cached"] is None and home.ask(SHY)["cached"] is None
    home.judge(ANA, 3)
    fresh = home.ask(ANA)
    assert fresh["cached"] is None and part(fresh) != part(first)
    home.judge(ANA, LIKED, "bad")
    assert (part(home.ask(ANA)) or 0) < (part(first) or 0), "a verdict outdoes a click"


def test_a_replay_gives_the_same_scores_whatever_was_liked_since(home: Home) -> None:
    home.judge(ANA, LIKED)
    answers = [home.ask(ANA, k=5), home.ask(ANA, k=5)]
    home.judge(ANA, 4)
    home.store.feedback.replace(f"item_id = '{item_id(LIKED)}'", [])
    for answer in answers:
        again = home.run(home.service.replay(answer["query_id"], ANA))
        assert again["same_ids"] and again["max_difference"] < 1e-6
    tables = SearchService(home.store, home.settings, journal=True)
    answer = home.run(tables.search(Query("1"), caller=ANA))
    assert home.run(tables.replay(answer["query_id"], ANA))["same_scores"]
    home.run(tables.close())


def test_what_is_erased_or_forbidden_leaves_the_taste_at_once(home: Home) -> None:
    home.judge(ANA, LIKED)
    assert part(home.ask(ANA)) is not None
    toy.erase(home.store, item_id(LIKED))
    assert part(home.ask(ANA)) is None
    home.judge(ANA, 3)
    assert part(home.ask(ANA)) is not None
    row = home.store.items.rows(where=f"item_id = '{item_id(3)}'")[0]
    moved = row | {"region": "us", "updated_at": now()}
    home.store.items.replace(f"item_id = '{item_id(3)}'", [moved])
    home.run(home.service.view())
    assert part(home.ask(ANA)) is None


def test_the_newest_count_most(home: Home) -> None:
    home.judge(ANA, LIKED)
    home.judge(ANA, 3)
    before = part(home.ask(ANA)) or 0
    rows = home.store.feedback.rows()
    old = [
        row | {"at": row["at"] - dt.timedelta(days=60)} if row["item_id"] == item_id(LIKED) else row
        for row in rows
    ]
    home.store.feedback.replace("true", old)
    assert 0 < (part(home.ask(ANA)) or 0) < before


def test_nonsense_stays_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.judge(ANA, LIKED)
    home.service = home.serving(refuse_nonsense=True, personal=5.0)
    monkeypatch.setattr(toy.Toy, "encode_texts", lambda _, texts: -toy.vector(1)[None] * 1.0)
    for caller in (SHY, ANA):
        answer = home.ask(caller, "xqzvw kjhgfd")
        assert answer["results"] == [] and answer["no_match"]

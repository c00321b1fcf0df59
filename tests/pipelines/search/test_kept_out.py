"""Guards that hold while something moves: rights, erasures and consent between any two steps."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toy
from toy import CHOICES, fill, item_id
from two_regions import EU, IN_EU, Home, ids, opened

from pipelines.outcomes import now
from pipelines.releases.publish import publish
from pipelines.rights import Caller, governed, refuses
from pipelines.search import hidden
from pipelines.search.asked.query import Query
from pipelines.search.hops import Hop
from pipelines.search.kept import Kept
from pipelines.search.service import SearchService
from pipelines.search.stages.fuse import Fuse
from pipelines.settings import Settings
from pipelines.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with opened(tmp_path) as home:
        yield home


def test_no_consent_is_a_word_of_the_list() -> None:
    words = "denied expired false no none opted-out pending refused revoked withdrawn"
    for word in words.split():
        assert refuses(word) and f"'{word}'" in governed(now())


def test_consent_that_ends_within_this_minute_is_over() -> None:
    half = dt.datetime(2026, 3, 1, 12, 0, 30, tzinfo=dt.UTC)
    assert "> TIMESTAMP '2026-03-01 12:01:00'" in governed(half)


def test_what_is_about_to_expire_is_left_out_early_and_looked_for_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.change(1, consent_expires=(now() + dt.timedelta(seconds=90)).isoformat())
    assert item_id(1) not in ids(home.ask("3", k=20))
    monkeypatch.setattr(hidden, "_EXPIRY_S", 0.0)
    monkeypatch.setattr(home.service._following.hidden, "_ask_expired", lambda: [item_id(2)])
    home.run(home.service.view())
    assert item_id(2) not in ids(home.ask("3", k=20))


def test_of_very_many_without_consent_rows_tell_and_ids_those_that_changed_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.use(monkeypatch)
    monkeypatch.setattr(hidden, "_NAMED", 1)
    settings = Settings(home=tmp_path, refuse_nonsense=False)
    store = Store(settings.root)
    fill(store, range(2), consent="refused")
    fill(store, range(2, 5))

    def say(number: int, consent: str) -> None:
        where = f"item_id = '{item_id(number)}'"
        (row,) = store.items.rows(where=where)
        store.items.replace(where, [row | {"updated_at": now(), "consent": consent}])

    for number in range(2):
        say(number, "refused")
    publish(store, CHOICES, settings)
    say(4, "withdrawn")
    answer = asyncio.run(SearchService(store, settings).search(Query("1", k=20)))
    assert {*ids(answer)} == {item_id(2), item_id(3)}


def test_after_a_purge_nothing_of_before_comes_back(home: Home) -> None:
    home.ask("3", k=20)
    toy.erase(home.store, item_id(3))
    home.ask("3", k=20)
    home.store.ledger.replace("event = 'erased'", [])
    assert home.ask("3", k=20)["cached"] is None


def test_a_kept_answer_shows_nothing_that_was_erased_since_it_was_looked_up(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.ask("3", k=20)
    get = Kept.get

    def erased_then(*asked: Any) -> Any:
        known = get(*asked)
        toy.erase(home.store, item_id(3))
        return known

    monkeypatch.setattr(Kept, "get", erased_then)
    answer = home.ask("3", k=20)
    assert answer["cached"] == "results" and item_id(3) not in ids(answer)


def test_more_like_an_item_shows_nothing_hidden(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.erase(home.store, item_id(4))
    assert item_id(4) not in ids(home.run(home.service.similar(item_id(1), Query(k=20))))
    fuse = Fuse.run

    async def erased_then(*asked: Any) -> None:
        await fuse(*asked)
        toy.erase(home.store, item_id(3))

    monkeypatch.setattr(Fuse, "run", erased_then)
    assert item_id(3) not in ids(home.run(home.service.similar(item_id(1), Query(k=20))))


def test_hops_stay_within_rights(home: Home) -> None:
    answer = home.run(home.service.hops(Query("7", k=20), [Hop("image", -1.0)], EU))
    assert {*ids(answer)} == {item_id(number) for number in IN_EU}


def test_a_replay_holds_by_the_rights_of_then_and_of_now(home: Home) -> None:
    answer = home.ask("3", EU, k=20)
    moved = home.run(home.service.replay(answer["query_id"], Caller(user="ana", region="us")))
    assert (moved["missing"], moved["added"]) == (len(IN_EU), 0)
    operator = home.run(home.service.replay(answer["query_id"]))
    assert operator["same_ids"], "an operator asks with the rights of then"


def test_a_replay_of_more_like_an_item_leaves_it_out(home: Home) -> None:
    answer = home.run(home.service.similar(item_id(3), Query(k=4), EU))
    again = home.run(home.service.replay(answer["query_id"], EU))
    assert again["same_ids"] and again["added"] == 0


def test_operators_are_told_of_the_queries_of_others(home: Home) -> None:
    answer = home.ask("3", EU)
    operator = Caller(user="op", scopes=frozenset({"operate"}))
    assert home.run(home.service.explain(answer["query_id"], operator))


def test_what_is_deleted_is_no_item(home: Home) -> None:
    home.change(2, deleted=True, registered_at=now())
    assert home.run(home.service.item(item_id(2))) is None
    assert home.run(home.service.similar(item_id(2), Query())) is None

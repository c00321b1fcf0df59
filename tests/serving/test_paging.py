"""The next page, ready before it is asked for: the same results, under the same rules."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from answering import running
from toy import CHOICES, Toy, erase, fill, item_id
from waiting import until

from pipelines.models import factory
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search.ahead import Ahead
from pipelines.search.asked.query import Query
from pipelines.search.searcher import Searcher
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from serving.app import create_app

SECOND = {"text": "7", "k": 5, "offset": 5}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("home"), index_rows=300, refuse_nonsense=False)
    store = Store(settings.root)
    fill(store, range(40))
    publish(store, CHOICES, settings)
    return settings


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "image_encoder", Toy)


async def done(service: SearchService) -> None:
    """Wait for what is got ready."""
    await until(lambda: not service._pages._ahead._tasks)


def places(document: dict[str, Any]) -> list[tuple[str, float]]:
    return [(each["item_id"], each["score"]) for each in document["results"]]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_second_page_comes_from_the_cache_and_is_what_a_search_finds(
    settings: Settings, method: str
) -> None:
    async def ask(client: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
        how: Any = {"params": asked} if method == "GET" else {"json": asked}
        answer: dict[str, Any] = (await client.request(method, "/search", **how)).json()
        return answer

    async def work() -> None:
        service = SearchService(Store(settings.root), settings, journal=True)
        async with running(create_app(settings, service=service), "127.0.0.1") as client:
            plain = await ask(client, **SECOND)
            service.cache.clear()
            first = await ask(client, text="7", k=5, prefetch=True)
            await done(service)
            second = await ask(client, **SECOND | {"prefetch": True})
            assert second["cached"] == "results" and plain["cached"] is None
            assert places(second) == places(plain) and len(places(second)) == 5
            assert not {each[0] for each in places(first)} & {each[0] for each in places(second)}
            assert second["query_id"] not in (first["query_id"], plain["query_id"])
            told = (await client.get(f"/explain/{second['query_id']}")).json()
            assert told["repeats"] == first["query_id"] and told["candidates"] and told["adds_up"]
            assert [each["rank"] for each in told["results"]] == [6, 7, 8, 9, 10]
            # Asked for from a cached page, a third one is got ready too.
            await done(service)
            third = await ask(client, text="7", k=5, offset=10)
            assert third["cached"] == "results" and len(places(third)) == 5
            assert (await ask(client, text="8", k=5))["cached"] is None
            await done(service)
            assert (await ask(client, text="8", k=5, offset=5))["cached"] is None
        # What was got ready and not asked for is no query.
        assert Store(settings.root).queries.read(["query_id"]).num_rows in (6, 12)

    asyncio.run(work())


def test_a_page_is_cut_from_its_ranking_and_searched_for_only_where_that_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    answer = Searcher.answer

    async def counting(searcher: Searcher, query: Query, *args: Any, **known: Any) -> Any:
        searched.append(query.offset)
        return await answer(searcher, query, *args, **known)

    monkeypatch.setattr(Searcher, "answer", counting)

    async def work() -> None:
        service = SearchService(Store(settings.root), settings)
        for query in (Query("7", k=5), Query("7", k=5, diversity=0.5)):
            searched.clear()
            plain = await service.search(Query("7", k=5, offset=5, diversity=query.diversity))
            service.cache.clear()
            await service.search(replace(query, prefetch=True))
            await done(service)
            second = await service.search(replace(query, offset=5))
            assert second["cached"] == "results" and places(second) == places(plain)
            assert searched == ([5, 0] if query.diversity == 1.0 else [5, 0, 5])
        searched.clear()
        await service.search(Query("9", k=50, prefetch=True))
        await done(service)
        assert searched == [0]  # There is no page after one that is not full.
        await service.close()

    asyncio.run(work())


def test_a_page_that_is_ready_is_for_those_rights_that_ledger_and_nobody_who_was_late(
    settings: Settings, tmp_path: Path
) -> None:
    own = settings.model_copy(update={"home": tmp_path})
    store = Store(own.root)
    fill(store, range(20))
    publish(store, CHOICES, own)
    eu, us = Caller(user="ana", region="eu"), Caller(user="bob", region="us")

    async def work() -> None:
        service = SearchService(store, own)

        async def second(caller: Caller) -> dict[str, Any]:
            return await service.search(Query("7", k=5, offset=5), caller=caller)

        await service.search(Query("7", k=5, prefetch=True), caller=eu)
        await done(service)
        other = await second(us)
        assert other["cached"] is None and other["results"] == []
        ready = await second(eu)
        assert ready["cached"] == "results"
        gone = ready["results"][0]["item_id"]
        erase(store, gone)
        fresh = await second(eu)
        assert fresh["cached"] is None and gone not in dict(places(fresh))
        # The ledger moves while the page is got ready.
        await service.search(Query("9", k=5, prefetch=True), caller=eu)
        erase(store, *(item_id(number) for number in range(10)))
        await done(service)
        late = await service.search(Query("9", k=5, offset=5), caller=eu)
        assert not dict(places(late)).keys() & {item_id(number) for number in range(10)}
        await service.close()

    asyncio.run(work())


def test_under_load_work_ahead_is_dropped_and_at_the_end_it_is_stopped() -> None:
    async def work() -> None:
        ahead, begun, stopped = Ahead(2), [], []

        async def long() -> None:
            begun.append(1)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                stopped.append(1)
                raise

        async def broken() -> None:
            raise RuntimeError("nobody waits for this")

        assert ahead.start(broken)
        await until(lambda: not ahead._tasks)
        assert [ahead.start(long) for _ in range(4)] == [True, True, False, False]
        await until(lambda: len(begun) == 2)
        await ahead.close()
        assert len(stopped) == 2
        await until(lambda: not ahead._tasks)

    asyncio.run(work())

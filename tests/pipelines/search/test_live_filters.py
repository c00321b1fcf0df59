"""Filters on what is true now, such as a price: nothing is shown that fails by now."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import toy
from toy import item_id

from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search.asked.query import Query
from pipelines.search.hops import Hop
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store

CHEAP = "price < 50 AND availability = 'in stock'"


def test_a_result_that_fails_a_filter_by_now_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.use(monkeypatch)
    settings = Settings(home=tmp_path, refuse_nonsense=False)
    store = Store(settings.root)
    toy.fill(
        store, range(3), title="old", extra=json.dumps({"price": 32, "availability": "in stock"})
    )
    publish(store, toy.CHOICES, settings)
    service = SearchService(store, settings)

    def now(number: int, **said: Any) -> None:
        where = f"item_id = '{item_id(number)}'"
        [row] = store.items.rows(where=where)
        store.items.replace(where, [row | {"title": "new", "extra": json.dumps(said)}])

    async def found(where: str, caller: Caller | None = None) -> set[str]:
        query = Query("1", where=where)
        answers = [
            await service.search(query, caller=caller),
            await service.similar(item_id(0), query, caller),
            await service.hops(query, [Hop("image", -1.0)], caller),
        ]
        ids = [{each["item_id"] for each in answer["results"]} for answer in answers if answer]
        assert ids[0] - {item_id(0)} == ids[1] and ids[0] == ids[2]
        return ids[0]

    async def ask() -> None:
        every = {item_id(number) for number in range(3)}
        for number in range(3):
            now(number, price=32, availability="in stock")
        assert await found(CHEAP) == await found(CHEAP, Caller(region="eu")) == every
        assert await found(f"item_id <> 'x' AND kind = 'image' AND {CHEAP}") == every
        now(1, price=99, availability="in stock")
        assert await found(CHEAP) == await found(CHEAP, Caller(region="eu")) == every - {item_id(1)}
        now(2, price="32", availability="sold out")
        assert await found(CHEAP) == {item_id(0)}
        # Of what no live key says, the release is asked alone.
        assert await found("title = 'old'") == every

    asyncio.run(ask())

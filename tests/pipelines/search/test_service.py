"""The service: follows the log without a pause, and never shows what is erased or expired."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import pytest
from toy import CHOICES, MODEL, Toy, erase, fill, item_id

from pipelines.errors import BadInput, NotReleased
from pipelines.models import factory
from pipelines.releases import log
from pipelines.releases.publish import publish, rollback
from pipelines.search import following as module
from pipelines.search.asked.query import Query
from pipelines.search.searcher import Searcher
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, index_rows=300, refuse_nonsense=False)


@pytest.fixture
def store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(factory, "image_encoder", Toy)
    store = Store(settings.root)
    fill(store, range(5))
    publish(store, CHOICES, settings)
    return store


class Asking:
    """A service and an event loop to ask it in."""

    def __init__(self, store: Store, settings: Settings, **options: Any):
        self.service = SearchService(store, settings, **options)
        self._runner = asyncio.Runner()

    def __call__(self, text: str, where: str | None = None) -> dict[str, Any]:
        return self._runner.run(self.service.search(Query(text, where=where)))

    def ids(self, text: str, where: str | None = None) -> set[str]:
        return {result["item_id"] for result in self(text, where)["results"]}

    def run(self, work: Callable[[], Any]) -> Any:
        return self._runner.run(work())


def all_ids(numbers: range, without: int | None = None) -> set[str]:
    return {item_id(number) for number in numbers if number != without}


def test_a_query_after_a_pause_is_answered_from_the_serving_release(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Asking(store, settings)
    assert ask("1")["release"] == "r000001"
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    monkeypatch.setattr(module, "_IDLE_S", 0.0)
    fill(store, range(7))
    publish(store, CHOICES, settings)
    assert ask("1")["release"] == "r000002" and ask.ids("1") == all_ids(range(7))
    rollback(store)
    assert ask("1")["release"] == "r000001" and ask.ids("1") == all_ids(range(5))


def test_the_old_release_answers_while_the_new_one_opens(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        service = SearchService(store, settings)
        await service.view()
        ready, warm = asyncio.Event(), Searcher.warm

        async def slow(searcher: Searcher) -> None:
            await ready.wait()
            await warm(searcher)

        monkeypatch.setattr(Searcher, "warm", slow)
        monkeypatch.setattr(module, "_POLL_S", 0.0)
        fill(store, range(7))
        await asyncio.to_thread(publish, store, CHOICES, settings)
        for _ in range(3):
            assert (await service.search(Query("1", k=3)))["release"] == "r000001"
        ready.set()
        for _ in range(50):
            answer = await service.search(Query("1", k=3))
            if answer["release"] == "r000002":
                break
            await asyncio.sleep(0.01)
        assert answer["release"] == "r000002"

    asyncio.run(work())


def test_a_release_that_cannot_be_opened_leaves_the_last_one_answering(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Asking(store, settings)
    assert ask("1")["release"] == "r000001"
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    monkeypatch.setattr(module, "_IDLE_S", 0.0)
    fill(store, range(7))
    broken = publish(store, CHOICES, settings).manifest
    channel = broken.channels["visual"].model_copy(update={"version": 999})
    log.rewrite(store, [broken.model_copy(update={"channels": {"visual": channel}})], "broken")
    assert ask("1")["release"] == "r000001"
    log.rewrite(store, [broken], "mended")
    assert ask("1")["release"] == "r000002"


def test_an_erased_item_is_gone_from_the_next_query_in_every_release(
    store: Store, settings: Settings
) -> None:
    fill(store, range(7), title="x")
    publish(store, CHOICES, settings)
    ask = Asking(store, settings)
    assert ask.ids("1") == all_ids(range(7))
    erase(store, item_id(1))
    assert ask.ids("1") == all_ids(range(7), without=1)
    assert ask.ids("1", f"item_id = '{item_id(1)}' OR region = 'eu'") == all_ids(range(7), 1)
    rollback(store)
    assert Asking(store, settings).ids("1") == all_ids(range(5), without=1)

    async def ranked() -> dict[str, list[str]]:
        view = await ask.service.view()
        return await view.searcher.rankings(Query("1"), view.allowed)

    assert all(item_id(1) not in ids for ids in ask.run(ranked).values())


def test_expired_items_are_left_out_and_asked_for_again_when_items_change(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[str] = [item_id(2)]
    asked: list[int] = []
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    monkeypatch.setattr(module, "_IDLE_S", 0.0)
    ask = Asking(store, settings, expired=lambda: asked.append(1) or gone)
    assert ask.ids("1") == all_ids(range(5), without=2)
    gone = [item_id(3)]
    assert ask.ids("1") == all_ids(range(5), without=2) and len(asked) == 1
    store.items.append([{"item_id": "x", "deleted": False}])
    assert ask.ids("1") == all_ids(range(5), without=3)


def test_items_whose_time_to_live_is_over_are_hidden_by_the_settings(
    store: Store, settings: Settings
) -> None:
    assert Asking(store, settings).ids("1") == all_ids(range(5))
    store.items.append(
        [
            {
                "item_id": item_id(4),
                "deleted": False,
                "published_at": "2001-01-01",
                "origins": [{"uri": "file:///old/x", "source": "file:///old"}],
            }
        ]
    )
    short = settings.model_copy(update={"ttl_days": {"file:///old": 1.0}})
    assert Asking(store, short).ids("1") == all_ids(range(5), without=4)


def test_a_query_whose_versions_were_purged_is_asked_once_more(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POLL_S", 3600.0)
    ask = Asking(store, settings)
    assert ask.ids("1") == all_ids(range(5))
    manifest = log.require(store)
    search = store.channel("visual", MODEL)
    search.remove([f"{item_id(0)}#image"])
    store.passages.remove([f"{item_id(0)}#image"])
    database = lancedb.connect(store.search_root)
    versions = {}
    for name in manifest.tables():
        table = database.open_table(name)
        table.tags.delete("r000001")
        table.optimize()
        dataset = table.to_lance()
        dataset.cleanup_old_versions(older_than=None, retain_versions=1)
        versions[name] = dataset.version
    visual = manifest.channels["visual"]
    new_visual = visual.model_copy(update={"version": versions[visual.table], "rows": 4})
    assert manifest.passages
    passages = manifest.passages.model_copy(update={"version": versions["passages"], "rows": 4})
    changed = manifest.model_copy(update={"channels": {"visual": new_visual}, "passages": passages})
    log.rewrite(store, [changed], "purged")
    assert ask.ids("2") == all_ids(range(5), without=0)


def test_nothing_asked_and_nothing_released_are_told_apart(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="give a text"):
        Asking(store, settings)(" ")
    empty = Settings(home=tmp_path / "empty")
    ask = Asking(Store(empty.root), empty)
    with pytest.raises(NotReleased):
        ask("1")
    with pytest.raises(NotReleased):
        ask("1")


def test_many_hidden_items_stay_cheap_to_leave_out(store: Store, settings: Settings) -> None:
    others = [f"other-{number}" for number in range(2000)]
    ask = Asking(store, settings, expired=lambda: [*others, item_id(1)])
    assert ask.ids("1") == all_ids(range(5), without=1)

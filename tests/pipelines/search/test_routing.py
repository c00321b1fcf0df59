"""Plans that look at a part first: cheap channels, or the domains that a router chooses."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy
from toy import CHOICES, item_id

from pipelines.models.protocols import ModelChoice
from pipelines.models.suite import ModelSuite
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search import plans
from pipelines.search.asked.query import Query
from pipelines.search.measuring.routing import routing
from pipelines.search.routing import Router
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.vectors import unit

CHEAP = ("ocr", "transcript", "bm25")


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    toy.use(monkeypatch)


def ask(settings: Settings, *queries: Query, **how: Any) -> list[dict[str, Any]]:
    async def all_of_them() -> list[dict[str, Any]]:
        service = SearchService(Store(settings.root), settings)
        return [await service.search(query, **how) for query in queries]

    return asyncio.run(all_of_them())


def ids(answer: dict[str, Any]) -> list[str]:
    return [result["item_id"] for result in answer["results"]]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Texts and films, in four channels of which two need models of their own."""
    settings = Settings(home=tmp_path_factory.mktemp("films"), refuse_nonsense=False)
    store = Store(settings.root)
    toy.put_all(store, "text", range(1, 6), "ocr", "transcript")
    toy.put_all(store, "film", range(3, 20), "visual")
    toy.put_all(store, "clip", range(3, 8), "video")
    channels = ("ocr", "transcript", "visual", "video")
    publish(store, {name: ModelChoice("toy", toy.MODEL) for name in channels}, settings)
    return settings


def test_a_simple_query_skips_the_films_and_scores_as_if_they_were_not_chosen(
    films: Settings,
) -> None:
    simple = Query("2", k=1, plan="cheap_first")
    [answer, chosen] = ask(films, simple, Query("2", k=1, channels=CHEAP))
    assert answer["skipped"] == ["video", "visual"] and answer["plan"] == "cheap_first"
    assert ids(answer) == ["text-2"] and answer["results"] == chosen["results"]
    [step] = [step for step in answer["trace"] if step["step"] == "search"]
    assert step["parts"].keys() == {*CHEAP} and not answer["widened"]


@pytest.mark.parametrize("query", [{"text": "15", "k": 1}, {"text": "2", "k": 9}])
def test_where_that_is_not_clear_all_are_asked(films: Settings, query: Any) -> None:
    [answer, whole] = ask(films, Query(**query, plan="cheap_first"), Query(**query))
    assert answer["skipped"] == [] and answer["results"] == whole["results"]


@pytest.mark.parametrize("plan", ["cheap_first", "by_domain"])
def test_pages_continue_one_another(shop: Settings, plan: str) -> None:
    pages = [Query(str(topic(5)), plan=plan, k=4, offset=offset) for offset in (0, 4, 8)]
    [whole, *parts] = ask(shop, Query(str(topic(5)), plan=plan, k=12), *pages)
    assert [item for page in parts for item in ids(page)] == ids(whole)


def test_other_scales_tell_nothing_of_what_is_clear(films: Settings) -> None:
    [answer] = ask(films, Query("2", k=1, plan="cheap_first", profile="reciprocal_rank"))
    assert answer["skipped"] == [] and {"visual", "video"} <= _asked(answer)


def _asked(answer: dict[str, Any]) -> set[str]:
    return {part for step in answer["trace"] for part in step["parts"]}


@pytest.mark.parametrize("text", ["2", "15"])
def test_a_cheap_answer_is_explained_and_given_again(
    films: Settings, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    nothing_private = SimpleNamespace(find=lambda *_, **__: [])
    monkeypatch.setattr(ModelSuite, "detector", lambda suite: nothing_private)

    async def story() -> tuple[Any, Any, Any]:
        service = SearchService(Store(films.root), films, journal=True)
        answer = await service.search(Query(text, k=1, plan="cheap_first"))
        explained = await service.explain(answer["query_id"])
        again = await service.replay(answer["query_id"])
        await service.close()
        return answer, explained, again

    answer, explained, again = asyncio.run(story())
    assert explained["skipped"] == answer["skipped"] and explained["adds_up"]
    assert again["same_ids"] and again["same_scores"]


DOMAINS = ("tools", "o'hara", "shoes", "maps", "toys", "books", "lamps", "hats")
EACH = 40
TOPICS = 3
LOOSE = range(900, 930)
AROUND = 0.7  # of its topic, which an item differs by


def topic(domain: int, number: int = 0) -> int:
    """The text that asks for a topic of a domain."""
    return 10_000 + 100 * domain + number


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Eight domains of three topics each, and items without a domain; hats belong to the us."""
    return _shop(tmp_path_factory.mktemp("shop"), DOMAINS)


@pytest.fixture(scope="module")
def without_hats(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same without its last domain."""
    return _shop(tmp_path_factory.mktemp("hatless"), DOMAINS[:-1])


def _shop(home: Path, domains: Sequence[str]) -> Settings:
    settings = Settings(home=home, refuse_nonsense=False)
    store = Store(settings.root)
    for domain, name in enumerate(domains):
        numbers = range(100 * domain, 100 * domain + EACH)
        centres = [topic(domain, number % TOPICS) for number in numbers]
        _put(store, numbers, centres, name, "us" if name == "hats" else "eu")
    # One of these is what hats are about.
    _put(store, LOOSE, [topic(DOMAINS.index("hats")), *LOOSE[1:]], None, "eu")
    publish(store, CHOICES, settings)
    return settings


def _put(
    store: Store, numbers: Iterable[int], centres: Iterable[int], domain: str | None, region: str
) -> None:
    rows = [
        row | {"vector": unit(toy.vector(centre)[None] + AROUND * toy.vector(number)[None])[0]}
        for number, centre, row in zip(
            numbers, centres, toy.rows(numbers, domain=domain, region=region), strict=True
        )
    ]
    store.channel("visual", toy.MODEL).upsert(rows)
    store.items.append(
        [
            {"item_id": row["item_id"], "batch": "b", "kind": "image", "deleted": False}
            | {"domain": domain, "region": region}
            for row in rows
        ]
    )


def by_domain(domain: int, **how: Any) -> Query:
    return Query(str(topic(domain)), plan="by_domain", **how)


def test_a_query_is_asked_in_the_domain_that_it_is_about(shop: Settings) -> None:
    [answer, whole] = ask(shop, by_domain(1), Query(str(topic(1))))
    assert answer["domains"] == ["o'hara"] and not answer["widened"]
    assert answer["results"] == whole["results"] and len(ids(answer)) == 10
    assert whole["domains"] is None


def test_items_without_a_domain_are_always_asked(shop: Settings) -> None:
    [answer] = ask(shop, by_domain(7))
    assert answer["domains"] == ["hats"] and item_id(LOOSE[0]) in ids(answer)


@pytest.mark.parametrize("k", [1, 10, 35])
def test_who_may_not_see_a_domain_is_answered_as_if_there_were_none(
    shop: Settings, without_hats: Settings, k: int
) -> None:
    [there, gone] = (
        ask(home, by_domain(7, k=k), by_domain(1, k=k), caller=Caller(region="eu"))
        for home in (shop, without_hats)
    )
    for name in ("domains", "widened"):
        assert [each[name] for each in there] == [each[name] for each in gone]
    assert [*map(ids, there)] == [*map(ids, gone)] and item_id(LOOSE[0]) in ids(there[0])


def test_what_is_about_no_domain_is_asked_in_all(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In 32 dimensions, any two things are more alike than a real model finds them.
    monkeypatch.setattr(plans.by_domain, "FAR", 0.5)
    unknown = str(LOOSE[3])
    queries = (Query(unknown, plan="by_domain", k=5), Query(unknown, k=5), by_domain(4, k=5))
    [answer, whole, known] = ask(shop, *queries)
    assert answer["domains"] is None and answer["results"] == whole["results"]
    assert ids(answer)[0] == item_id(LOOSE[3])
    assert known["domains"] == ["toys"]


def test_too_few_for_the_answer_widen_it_and_say_so(shop: Settings) -> None:
    wanted = EACH + len(LOOSE) + 1
    [answer, whole] = ask(shop, by_domain(2, k=wanted), Query(str(topic(2)), k=wanted))
    assert answer["widened"] and answer["domains"] is None
    assert len(ids(answer)) == wanted and answer["results"] == whole["results"]


def test_filters_and_erasures_hold_in_every_domain(shop: Settings, tmp_path: Path) -> None:
    [narrowed] = ask(shop, by_domain(2, where="domain = 'maps'"))
    assert len(ids(narrowed)) == 10
    assert {*ids(narrowed)} <= {item_id(number) for number in range(300, 300 + EACH)}
    [best] = ask(shop, by_domain(3, k=1))
    toy.erase(Store(shop.root), ids(best)[0])
    [later] = ask(shop, by_domain(3, k=1))
    assert later["domains"] == ["maps"] and ids(later) and ids(later) != ids(best)


def test_the_router_finds_what_asking_everything_does(shop: Settings) -> None:
    topics = [topic(domain, number) for domain in range(len(DOMAINS)) for number in range(TOPICS)]
    queries = [Query(str(number), k=10) for number in (*topics, *range(5, 700, 99))]

    async def measure() -> Any:
        view = await SearchService(Store(shop.root), shop).view()
        return await routing(view.searcher, view.allowed, queries)

    found = asyncio.run(measure())
    assert found["recall"] >= 0.98 and found["of"] == len(DOMAINS)
    assert found["routed"] >= 0.7 and found["asked"] < 4
    assert found["domains"].keys() >= {*DOMAINS}
    assert all(each["recall"] >= 0.9 for each in found["domains"].values())


def test_a_router_is_made_once_and_again_after_a_failure(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []
    make = Router.of

    async def flaky(tables: Any) -> Router:
        made.append(True)
        if len(made) == 1:
            raise OSError
        return await make(tables)

    monkeypatch.setattr(Router, "of", flaky)

    async def story() -> list[Router]:
        searcher = (await SearchService(Store(shop.root), shop).view()).searcher
        with pytest.raises(OSError):
            await searcher.router()
        return await asyncio.gather(*(searcher.router() for _ in range(5)))

    routers = asyncio.run(story())
    assert len(made) == 2 and all(each is routers[0] for each in routers)
    assert routers[0].domains == sorted(DOMAINS)
    assert np.isfinite(routers[0]._centroids["visual"]["maps"]).all()

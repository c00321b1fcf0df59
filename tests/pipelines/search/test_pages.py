"""Pages of an answer, put together, are the answer: none shows an item twice or leaves one out."""

import asyncio
from itertools import chain
from typing import Any

import numpy as np
import pytest
import toy
from toy import MODEL

from pipelines.models.protocols import ModelChoice
from pipelines.releases.publish import publish
from pipelines.search import retrieval
from pipelines.search.asked.query import PLANS, Plan, Query
from pipelines.search.fusion.profiles import PROFILES
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.vectors import unit

ASKED = 1_000
COUNT = 250
# Few items have these, so that only a deep look finds any of them.
RARE = {"caption": range(0, COUNT, 25), "ocr": range(10, COUNT, 40)}
DOMAINS = ("tools", "maps", "toys")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home of items that are more or less like what is asked, of each channel another way."""
    settings = Settings(home=tmp_path_factory.mktemp("pages"), refuse_nonsense=False)
    store = Store(settings.root)
    toy.catalog(store, range(COUNT))
    rng = np.random.default_rng(0)
    for name, numbers in {"visual": range(COUNT), **RARE}.items():
        near = dict(zip(numbers, rng.uniform(0.05, 0.6, len(numbers)), strict=True))
        store.channel(name, MODEL).upsert(
            [
                row | {"vector": _like(number, near[number]), "domain": DOMAINS[number % 3]}
                for number, row in zip(numbers, toy.rows(numbers), strict=True)
            ]
        )
    told = [
        toy.passage(row, "1000 " * (n % 7 + 1) + f"word {n}")
        for n, row in zip(range(0, COUNT, 5), toy.rows(range(0, COUNT, 5)), strict=True)
    ]
    store.passages.upsert(told)
    publish(store, dict.fromkeys(["visual", *RARE], ModelChoice("toy", MODEL)), settings)
    return settings


def _like(number: int, near: float) -> np.ndarray:
    return unit((near * toy.vector(ASKED) + (1 - near) * toy.vector(number))[None])[0]


@pytest.fixture(autouse=True)
def looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    toy.use(monkeypatch)


def asked(settings: Settings, k: int, pages: int, **how: Any) -> list[list[tuple[str, float]]]:
    """Return ids and scores of some pages of so many results."""

    async def work() -> list[list[tuple[str, float]]]:
        service = SearchService(Store(settings.root), settings)
        answers = [
            await service.search(Query(str(ASKED), k=k, offset=k * page, **how))
            for page in range(pages)
        ]
        return [[(each["item_id"], each["score"]) for each in a["results"]] for a in answers]

    return asyncio.run(work())


HOW: list[dict[str, Any]] = [
    *({"profile": profile} for profile in PROFILES if profile != "mean_vector"),
    *({"diversity": diversity} for diversity in (0.3, 0.8)),
    {"reranker": "lexical", "diversity": 0.5},
]


@pytest.mark.parametrize("how", HOW, ids=str)
def test_pages_put_together_are_one_big_page(settings: Settings, how: dict[str, Any]) -> None:
    [whole] = asked(settings, 200, 1, **how)
    assert len(whole) == 200
    assert [*chain(*asked(settings, 20, 10, **how))] == whole


@pytest.mark.parametrize("depth", [12, 200])
@pytest.mark.parametrize("plan", PLANS)
def test_pages_of_every_plan_go_on_until_all_is_shown(
    settings: Settings, plan: Plan, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At a small depth the first ranking ends long before the last page.
    monkeypatch.setattr(retrieval, "CANDIDATES", depth)
    shown = [item for page in asked(settings, 10, 26, plan=plan) for item, _ in page]
    assert len(shown) == len(set(shown)) == COUNT


def test_a_page_beyond_the_first_ranking_goes_on_where_that_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "CANDIDATES", 12)
    [whole] = asked(settings, COUNT, 1)
    assert [*chain(*asked(settings, 50, 5))] == whole and len(whole) == COUNT


def test_counts_of_facets_are_those_of_the_whole_answer_on_every_page(settings: Settings) -> None:
    async def facets(k: int, offset: int) -> Any:
        service = SearchService(Store(settings.root), settings)
        query = Query(str(ASKED), k=k, offset=offset)
        return (await service.search(query, facets=True))["facets"]

    async def work() -> list[Any]:
        return [await facets(*each) for each in ((5, 0), (40, 0), (200, 0), (20, 220))]

    counts = asyncio.run(work())
    assert counts == [{"kind": {"image": retrieval.CANDIDATES // 2}}] * 4


@pytest.mark.parametrize(("number", "channel"), [(10, "ocr"), (25, "caption")])
def test_a_filter_does_not_make_scores_small(settings: Settings, number: int, channel: str) -> None:
    """A channel that has nothing of what passes counts as little as one that was not asked."""
    only = f"item_id = '{toy.item_id(number)}'"
    [alone] = asked(settings, 1, 1, where=only, channels=(channel,))
    [among] = asked(settings, 1, 1, where=only, channels=("caption", "ocr"))
    assert alone[0] == among[0]

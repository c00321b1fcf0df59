"""The steps of a query: three plans, filters and rights before every cut, traces, pages, hops."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from toy import CHOICES, fill, item_id

from pipelines.errors import BadInput
from pipelines.models.protocols import ModelChoice
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search.asked.query import PLANS, Plan, Query
from pipelines.search.hops import Hop, travel
from pipelines.search.retrieval import Retrieval
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store

NUMBERS = range(600)
RARE = range(7, 600, 100)  # 1 % of them


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with 600 items in an indexed channel; a few are rare, and a few belong to others."""
    settings = Settings(
        home=tmp_path_factory.mktemp("plans"), index_rows=300, refuse_nonsense=False
    )
    store = Store(settings.root)
    fill(store, [n for n in NUMBERS if n not in RARE], region="eu")
    fill(store, RARE, region="eu", domain="rare")
    publish(store, CHOICES, settings)
    return settings


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    toy.use(monkeypatch)


def ask(settings: Settings, query: Query, **how: Any) -> dict[str, Any]:
    return asyncio.run(SearchService(Store(settings.root), settings).search(query, **how))


def ids(answer: dict[str, Any]) -> list[str]:
    return [result["item_id"] for result in answer["results"]]


@pytest.mark.parametrize("plan", PLANS)
def test_a_selective_filter_still_fills_the_answer(settings: Settings, plan: Plan) -> None:
    answer = ask(settings, Query("7", k=len(RARE), where="domain = 'rare'", plan=plan))
    assert sorted(ids(answer)) == [item_id(number) for number in RARE]
    assert answer["plan"] == plan
    assert all(
        sum(result["channels"].values()) == pytest.approx(result["score"], abs=1e-6)
        for result in answer["results"]
    )


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_finds_what_is_asked_for(settings: Settings, plan: Plan) -> None:
    assert ids(ask(settings, Query("9", k=5, plan=plan)))[0] == item_id(9)


def test_words_that_choose_too_few_widen_the_plan_and_say_so(settings: Settings) -> None:
    answer = ask(settings, Query("9", k=5, plan="filter_then_vector"))
    assert answer["widened"] and len(answer["results"]) == 5
    assert not ask(settings, Query("9", k=5))["widened"]


def test_words_choose_and_vectors_order(settings: Settings, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    fill(store, range(20))
    passages = store.passages.read(
        ["key", "item_id", "batch", "segment", "kind", "uri"]
    ).to_pylist()
    store.passages.upsert(
        [
            row
            | {"recipe": "r", "attributes_hash": "a", "source": "ocr", "region": "eu"}
            | {"text": "5" if index < 4 else "other"}
            for index, row in enumerate(sorted(passages, key=lambda row: row["key"]))
        ]
    )
    publish(store, CHOICES, Settings(home=tmp_path, refuse_nonsense=False))
    query = Query("5", k=3, plan="filter_then_vector")
    answer = ask(Settings(home=tmp_path, refuse_nonsense=False), query)
    assert not answer["widened"] and set(ids(answer)) < {item_id(number) for number in range(4)}
    assert ids(ask(Settings(home=tmp_path, refuse_nonsense=False), Query("5", k=3)))[0] == item_id(
        5
    )


def test_plans_and_channels_that_do_not_exist_are_refused(settings: Settings) -> None:
    with pytest.raises(BadInput, match="choose parallel"):
        ask(settings, Query("1", plan="fastest"))
    with pytest.raises(BadInput, match="visual"):
        ask(settings, Query("1", channels=("smell",)))


def test_spaces_and_composed_characters_do_not_matter(settings: Settings) -> None:
    plain = ask(settings, Query("12"))["results"]
    assert ask(settings, Query("  １２\t"))["results"] == plain


def test_steps_stand_in_the_trace_with_their_parts(settings: Settings) -> None:
    trace = {step["step"]: step for step in ask(settings, Query("1"))["trace"]}
    names = ["normalise", "detect_modality", "expand", "encode", "search", "union", "fuse"]
    assert list(trace)[: len(names)] == names and list(trace)[-1] == "explain"
    assert trace["encode"]["parts"].keys() == {"visual"}
    assert trace["search"]["parts"].keys() == {"visual", "bm25"}
    starts = [step["at_ms"] for step in trace.values()]
    assert starts == sorted(starts) and all(step["ms"] >= 0 for step in trace.values())
    only = ask(settings, Query("1", channels=("bm25",)))["trace"]
    assert next(step for step in only if step["step"] == "encode")["parts"] == {}


def test_pages_continue_one_another(settings: Settings) -> None:
    whole = ids(ask(settings, Query("4", k=12)))
    pages = [ids(ask(settings, Query("4", k=4, offset=offset))) for offset in (0, 4, 8)]
    assert [*pages[0], *pages[1], *pages[2]] == whole


def test_what_is_erased_while_a_query_runs_is_not_shown(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    fill(store, range(5))
    publish(store, CHOICES, Settings(home=tmp_path, refuse_nonsense=False))
    service = SearchService(store, Settings(home=tmp_path, refuse_nonsense=False))
    from pipelines.search.stages.fuse import Fuse

    fuse = Fuse.run

    async def erasing(self: Fuse, asked: Retrieval) -> None:
        await fuse(self, asked)
        toy.erase(store, item_id(1))

    monkeypatch.setattr(Fuse, "run", erasing)
    answer = asyncio.run(service.search(Query("1", k=5)))
    assert item_id(1) not in ids(answer) and len(answer["results"]) == 4


def test_like_an_item_leaves_it_out_and_a_foreign_one_is_no_item(settings: Settings) -> None:
    service = SearchService(Store(settings.root), settings)

    async def ask_like(item: str, caller: Caller | None) -> dict[str, Any] | None:
        return await service.similar(item, Query(k=5), caller)

    with asyncio.Runner() as runner:
        answer = runner.run(ask_like(item_id(3), None))
        assert answer is not None
        assert len(ids(answer)) == 5 and item_id(3) not in ids(answer)
        assert runner.run(ask_like("nobody", None)) is None


def test_live_values_change_without_an_index(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, refuse_nonsense=False)
    store = Store(settings.root)
    fill(store, range(3))
    publish(store, CHOICES, settings)
    service = SearchService(store, settings)

    def price(value: int) -> None:
        row = store.items.rows(where=f"item_id = '{item_id(1)}'")[0]
        changed = row | {"extra": json.dumps({"price": value, "other": 1})}
        store.items.replace(f"item_id = '{item_id(1)}'", [changed])

    async def live() -> Any:
        answer = await service.search(Query("1", k=1))
        return answer["results"][0]["live"]

    with asyncio.Runner() as runner:
        assert runner.run(live()) == {}
        for value in (5, 6):
            price(value)
            assert runner.run(live()) == {"price": value}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Texts, pictures and films of some numbers."""
    settings = Settings(home=tmp_path_factory.mktemp("kinds"), refuse_nonsense=False)
    store = Store(settings.root)
    toy.put_all(store, "text", range(1, 6), "ocr")
    toy.put_all(store, "image", range(3, 8), "visual", "ocr")
    toy.put_all(store, "video", range(3, 8), "visual")
    publish(store, {name: ModelChoice("toy", toy.MODEL) for name in ("ocr", "visual")}, settings)
    return settings


def journey(
    settings: Settings, text: str, *hops: Hop, enough: float = 2.0
) -> tuple[list[str], Any]:
    service = SearchService(Store(settings.root), settings)

    async def go() -> tuple[list[str], Any]:
        view = await service.view()
        gone = await travel(view.searcher, Query(text, k=2), hops, enough)
        shown = gone.answer.results if gone.answer else []
        return [each["item_id"] for each in shown], gone.trace

    return asyncio.run(go())


def test_hops_lead_from_words_over_pictures_to_films(kinds: Settings) -> None:
    hops = (Hop("text", 0.9), Hop("image", 0.9), Hop("video", 0.9))
    found, trace = journey(kinds, "4", *hops)
    assert found == ["video-4"] and [step["passed"] for step in trace] == [1, 1, 1]
    found, trace = journey(kinds, "4", *hops, enough=0.9)
    assert found == ["text-4"] and len(trace) == 1 and trace[0]["stopped"]


def test_a_hop_that_finds_nothing_like_enough_is_skipped(kinds: Settings) -> None:
    found, trace = journey(kinds, "7", Hop("text", 0.9), Hop("image", 0.9))
    assert found == ["image-7"] and [step["passed"] for step in trace] == [0, 1]
    assert trace[0]["best"] < 0.9
    found, trace = journey(kinds, "99", Hop("text", 0.99), Hop("video", 0.99))
    assert found == [] and np.all([step["passed"] == 0 for step in trace])


def test_nonsense_gets_the_reason_alone(settings: Settings) -> None:
    strict = settings.model_copy(update={"refuse_nonsense": True})
    answer = ask(strict, Query("100000"))
    assert answer["results"] == [] and answer["no_match"]
    assert ask(strict, Query("9"))["results"] and ask(settings, Query("100000"))["results"]

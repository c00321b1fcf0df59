"""Plans over real tables: rows that are known, rows that will follow, time and money, and after."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import costs, planning
from pipelines.costs import forecast, money, rate
from pipelines.errors import MediadexError
from pipelines.models.suite import ModelSuite
from pipelines.pipeline import STEPS
from pipelines.planning import Estimate, Scope, compare, estimate, save, scope, total
from pipelines.settings import Prices, Settings
from pipelines.steps.runner import run
from pipelines.store import Store

BATCHES = [f"2026-01-0{day}.000" for day in (1, 2, 3)]
TEXTS = 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three batches of items with titles; nothing is made of them yet but their segments."""
    store = Store(str(tmp_path))
    for batch in BATCHES:
        ids = [f"{batch}-{number}" for number in range(TEXTS)]
        store.items.append(
            [
                {
                    "item_id": item,
                    "batch": batch,
                    "kind": "text",
                    "content_hash": item,
                    "origins": [{"uri": f"file:///{item}"}],
                    "attributes_hash": "a",
                    "deleted": False,
                }
                for item in ids
            ]
        )
        store.segments.append(
            [{"key": f"{i}#b", "item_id": i, "batch": batch, "recipe": "r"} for i in ids]
        )
        store.texts.append(
            [
                {
                    "key": f"{item}#meta",
                    "item_id": item,
                    "batch": batch,
                    "segment": "meta",
                    "source": "meta",
                    "text": "words " * 10,
                    "text_hash": item,
                }
                for item in ids
            ]
        )
    return store


def settings(store: Store, **changed: Any) -> Settings:
    return Settings(home=Path(store.root), workers=1, **changed)


def of(estimates: list[Estimate], step: str) -> Estimate:
    return next(each for each in estimates if each.step == step)


def passages(store: Store, batches: list[str] | None = None, **changed: Any) -> Estimate:
    what = Scope(("passages",), tuple(batches) if batches else None, {})
    return estimate(store, ModelSuite(), settings(store, **changed), what)[0]


def make(store: Store, batch: str) -> None:
    from pipelines.pipeline import build_step

    step = build_step("passages", store, ModelSuite(), settings(store))
    report = run(step, batch, settings(store))
    store.costs.append([costs.entry(step, batch, report)])


def test_rows_are_counted_in_the_batches_asked_for(store: Store) -> None:
    assert passages(store).rows == 3 * TEXTS
    assert passages(store, BATCHES[1:]).rows == 2 * TEXTS
    make(store, BATCHES[0])
    assert passages(store).rows == 2 * TEXTS
    assert passages(store, BATCHES[:1]).rows == 0


def test_time_is_what_such_rows_took_before(store: Store) -> None:
    make(store, BATCHES[0])
    [taken] = store.costs.rows()
    found = passages(store)
    assert found.seconds == pytest.approx(taken["seconds"] / TEXTS * 2 * TEXTS)
    assert "measured over 4" in found.rate


def test_what_was_never_measured_is_tried_or_said_to_be_unknown(store: Store) -> None:
    found = passages(store)
    assert found.seconds is not None and "tried over" in found.rate
    assert store.passages.open() is None
    nothing = planning._estimated(store, settings(store), *_passage_step(store, BATCHES[:0]), 5)
    assert (nothing.seconds, nothing.money, nothing.rate) == (None, None, "not measured yet")


def _passage_step(store: Store, batches: list[str]) -> Any:
    from pipelines.pipeline import build_step
    from pipelines.steps.runner import plan

    step = build_step("passages", store, ModelSuite(), settings(store))
    return step, plan(step, batches)


def test_money_needs_a_price(store: Store) -> None:
    make(store, BATCHES[0])
    assert passages(store).money is None
    found = passages(store, prices=Prices(cpu_hour=3600.0))
    assert found.money == pytest.approx(found.seconds)
    tokens = passages(store, prices=Prices(per_1000_tokens={"passages": 1.0}))
    assert tokens.money == pytest.approx(2 * TEXTS * (60 / 4) / 1000)


def test_tokens_are_priced_by_the_thousand() -> None:
    images, texts = forecast(20_000, 250, 0.0004), forecast(50_000, 120, 0.0001)
    assert images == pytest.approx(2.0) and texts == pytest.approx(0.6)
    assert money(Prices(), "x", "cpu", 10.0, 1, 1) is None
    assert money(Prices(gpu_hour=36.0), "x", "cuda", 100.0, 1, 1) == pytest.approx(1.0)
    assert money(Prices(gpu_hour=36.0), "x", "cpu", 100.0, 1, 1) is None
    assert rate([]) is None


def test_work_upstream_is_expected_downstream(store: Store) -> None:
    store.segments.replace("true", [])
    what = Scope(("redacted_media", "passages"), None, {})
    found = estimate(store, ModelSuite(), settings(store), what)
    assert of(found, "redacted_media").rows == 3 * TEXTS
    below = of(found, "passages")
    assert (below.rows, below.expected) == (0, 3 * TEXTS)
    assert below.seconds is None
    assert total([vars(each) for each in found], "seconds") is None


def test_a_plan_stands_beside_what_its_work_took(store: Store) -> None:
    make(store, BATCHES[0])
    what = Scope(("passages",), (BATCHES[1],), {})
    name = save(store, what, estimate(store, ModelSuite(), settings(store), what))
    [before] = compare(store)["steps"]
    assert (before["rows_done"], before["seconds_taken"]) == (0, None)
    make(store, BATCHES[1])
    make(store, BATCHES[2])
    [after] = compare(store, name)["steps"]
    assert after["rows"] == after["rows_done"] == TEXTS
    assert after["seconds_taken"] > 0 and after["seconds"] > 0
    with pytest.raises(MediadexError, match="mediadex plan"):
        compare(store, "p0")


def test_a_scope_names_steps_batches_and_encoders(store: Store) -> None:
    assert scope(store) == Scope(STEPS, None, {})
    assert scope(store, "ocr").steps == ("ocr_embeddings",)
    assert scope(store, span=f"{BATCHES[0]}..{BATCHES[1]}").batches == tuple(BATCHES[:2])
    assert scope(store, span=f"{BATCHES[1]}..").batches == tuple(BATCHES[1:])
    assert scope(store, span=f"..{BATCHES[1]}").batches == tuple(BATCHES[:2])
    assert scope(store, span=BATCHES[2]).batches == (BATCHES[2],)
    texts = scope(store, encoder="sentence-transformers:x")
    assert texts.encoders.keys() == {"caption", "ocr", "meta", "transcript", "story"}
    assert scope(store, encoder="open_clip:x/y").steps == (
        "visual_embeddings",
        "video_embeddings",
    )
    assert scope(store, "meta", encoder="builtin").encoders == {"meta": "builtin"}


def test_what_does_not_exist_is_named_with_what_does(store: Store) -> None:
    with pytest.raises(MediadexError, match=r"no channel 'smell'; there are visual"):
        scope(store, "smell")
    with pytest.raises(MediadexError, match=rf"no batch '2020'; they go from {BATCHES[0]}"):
        scope(store, span="2020..")
    with pytest.raises(MediadexError, match="mediadex index"):
        scope(Store(f"{store.root}/empty"), span="2020")

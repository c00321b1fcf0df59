"""Each step does what it is for: switched off, something in here is missed."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy
from toy import CHOICES, MODEL, fill, item_id, vector

from pipelines.models import factory
from pipelines.models.protocols import ModelChoice
from pipelines.releases.publish import publish
from pipelines.search import retrieval
from pipelines.search.asked.query import Query
from pipelines.search.fusion.evidence import Evidence
from pipelines.search.fusion.profiles import PROFILES, weights
from pipelines.search.service import SearchService
from pipelines.search.weighing import on_scale, shares_of
from pipelines.settings import Settings
from pipelines.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    toy.use(monkeypatch)
    return Store(str(tmp_path))


def ask(store: Store, query: Query, **settings: Any) -> dict[str, Any]:
    chosen = Settings(home=Path(store.root), refuse_nonsense=False, **settings)
    return asyncio.run(SearchService(store, chosen).search(query))


def ids(answer: dict[str, Any]) -> list[str]:
    return [result["item_id"] for result in answer["results"]]


class Speaking(toy.Toy):
    """The word that carries meaning is like an item, whole sentences are like nothing."""

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.stack([vector(7) if text == "boat" else -vector(7) for text in texts])


def test_a_weak_answer_is_asked_for_once_more_in_the_words_that_carry_meaning(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "image_encoder", Speaking)
    fill(store, [7, *range(20, 24)])
    publish(store, CHOICES, Settings(home=Path(store.root)))
    answer = ask(store, Query("where is the boat"))
    assert answer["asked"]["reworded"] == "boat" and ids(answer)[0] == item_id(7)
    worse = ask(store, Query("what is the keel"))
    assert worse["asked"]["reworded"] is None, "what is no better is not taken"


def test_the_setting_recency_adds_it_to_any_profile(store: Store) -> None:
    fill(store, range(3))
    publish(store, CHOICES, Settings(home=Path(store.root)))
    (best,) = ask(store, Query("2", k=1), recency=0.1)["results"]
    assert "recency" in best["channels"]


def test_diversity_puts_twins_apart(store: Store) -> None:
    twins = {item_id(number) for number in (7, 8, 9)}
    fill(store, (7, 8, 9), vector=vector(7))
    fill(store, range(20, 30))
    publish(store, CHOICES, Settings(home=Path(store.root)))
    assert {*ids(ask(store, Query("7", k=3)))} == twins
    assert len({*ids(ask(store, Query("7", k=3, diversity=0.0)))} & twins) == 1


def test_what_one_channel_found_is_scored_in_the_others_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "CANDIDATES", 4)
    toy.catalog(store, range(40))
    names = ("visual", "caption")
    for channel, offset in zip(names, (0, 100), strict=True):
        made = [toy.row(item_id(n), "image", n + offset) for n in range(40)]
        store.channel(channel, MODEL).upsert(made)
    choices = dict.fromkeys(names, ModelChoice("toy", MODEL))
    publish(store, choices, Settings(home=Path(store.root)))
    for number in range(8):
        for result in ask(store, Query(str(number), k=1))["results"]:
            assert result["channels"].keys() == {*names}


def asked(query: Query, profile: str, learned: Any = None) -> Any:
    manifest = SimpleNamespace(
        learned=learned, passages=None, channels={"visual": SimpleNamespace(spec="builtin")}
    )
    return SimpleNamespace(
        query=query,
        profile=profile,
        searcher=SimpleNamespace(manifest=manifest),
        encoded=SimpleNamespace(probes={"visual": SimpleNamespace(medium="text")}),
    )


def test_asked_with_a_film_whole_films_count_as_pictures_do() -> None:
    shares = shares_of(asked(Query("x", clip=(toy.picture(1),)), "default"), PROFILES["default"])
    assert (shares["video"], shares["visual"]) == (weights()["visual"], weights()["video"])


def test_learned_scales_are_for_the_default_profile_alone() -> None:
    learned = SimpleNamespace(weights={}, platt={"visual": (0.0, 0.0)})
    found = Evidence.of({"a": {"visual": 0.9}})
    told = {
        name: on_scale(asked(Query("x"), name, learned), found, PROFILES[name])["a"]["visual"]
        for name in ("default", "hybrid")
    }
    assert told["default"] == 0.5 != told["hybrid"]

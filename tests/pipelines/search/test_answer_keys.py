"""What an answer depends on stands in the key that it is kept by, and nothing lame is kept."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toy
from two_regions import Home, opened

from pipelines.rights import Caller
from pipelines.search.asked.media import Upload
from pipelines.search.asked.query import Query
from pipelines.search.caches import MemoryCache
from pipelines.search.kept import Kept, Question
from pipelines.search.taste import Taste
from pipelines.search.views import View
from pipelines.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with opened(tmp_path) as home:
        yield home


def question(**changed: Any) -> Question:
    searcher: Any = type("Searcher", (), {"fingerprint": "r1", "settings": Settings()})()
    view = View(searcher, None, None, changed.pop("epoch", "e"))  # type: ignore[arg-type]
    taste, caller = changed.pop("taste", None), changed.pop("caller", None)
    return Question(Query(**{"text": "a boat", **changed}), view, caller, taste)


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "a ship"},
        {"k": 5},
        {"offset": 10},
        {"where": "region = 'eu'"},
        {"profile": "hybrid"},
        {"plan": "by_domain"},
        {"diversity": 0.5},
        {"reranker": "lexical"},
        {"channels": ("visual",)},
        {"epoch": "f"},
        {"caller": Caller(region="eu")},
        {"taste": Taste(0.3, {"a": 1.0}, "ana")},
    ],
)
def test_all_that_an_answer_depends_on_stands_in_its_key(changed: dict[str, Any]) -> None:
    other = question(**dict(changed))
    assert other.key != question().key
    assert (other.scope == question().scope) == (changed.keys() == {"text"})


def test_how_a_text_is_spaced_and_what_is_done_ahead_are_not_in_it() -> None:
    assert question(text=" a  boat ", prefetch=True).key == question().key


def test_an_answer_that_lacks_something_is_not_kept() -> None:
    kept = Kept(MemoryCache(), alike=True)
    for degraded in ([{"channel": "visual", "reason": "gone"}], []):
        kept.keep(question(), ({"query_id": "1", "degraded": degraded}, []))
        assert (kept.get(question()) is None) == bool(degraded)


def test_a_text_beside_a_picture_is_not_answered_as_the_text_alone(home: Home) -> None:
    home.ask("3")
    file = io.BytesIO()
    toy.picture(5).save(file, "PNG")
    for query, uploads in ((Query("3"), [Upload(file)]), (Query("3", image=toy.picture(5)), [])):
        assert home.run(home.service.search(query, uploads))["cached"] is None
    assert home.ask("3")["cached"] == "results"

"""What has not changed is answered the same again, whichever way it was asked."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from toy import item_id, vector
from two_regions import EU, Home, ids, opened

from pipelines.errors import Cleaned
from pipelines.search.asked.query import Query
from pipelines.search.hops import Hop
from pipelines.search.journal.records import recorded, repeated
from pipelines.search.journal.replay import replayed_query
from pipelines.search.retrieval import Retrieval
from pipelines.settings import Settings
from pipelines.tables.facts import quoted
from pipelines.tables.vectors import unit

Asked = dict[str, Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with opened(tmp_path_factory.mktemp("replaying")) as home:
        home.change(3, published_at="2026-01-01")
        assert home.service._journal is not None
        nothing_private: Any = SimpleNamespace(of=lambda record: record)
        home.service._journal._masking = nothing_private
        yield home


def hopped(home: Home, *hops: float, **how: Any) -> Asked:
    """Ask in hops over pictures, with what is like none of them, so that no hop is the last."""
    asked = Query("12", **{"k": 3, **how})
    answer = home.run(home.service.hops(asked, [Hop("image", each) for each in hops]))
    assert answer["results"] and len(answer["hops"]) == len(hops)
    return answer


def twice(home: Home, **how: Any) -> Asked:
    home.ask("3", k=5, **how)
    answer = home.ask("3", k=5, **how)
    assert answer["cached"] == "results"
    return answer


def nonsense(home: Home) -> Asked:
    answer = home.ask("100000", k=4)
    assert answer["no_match"] and not answer["results"]
    return answer


CASES: dict[str, Callable[[Home], Asked]] = {
    "text": lambda home: home.ask("3", k=4),
    "page": lambda home: home.ask("3", k=2, offset=3),
    "recent": lambda home: home.ask("3", k=4, profile="weighted_recency"),
    "cached": twice,
    "cached and recent": lambda home: twice(home, profile="weighted_recency"),
    "nonsense": nonsense,
    "similar": lambda home: home.run(home.service.similar(item_id(3), Query(k=4))),
    "one hop": lambda home: hopped(home, 0.0, k=20),
    "hops": lambda home: hopped(home, 0.0, 0.3, k=20),
    "page of hops": lambda home: hopped(home, 0.0, 0.0, k=2, offset=2),
}


@pytest.mark.parametrize("ask", CASES.values(), ids=CASES)
def test_what_has_not_changed_is_answered_the_same_again(
    home: Home, ask: Callable[[Home], Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    if ask is nonsense:
        judging = home.settings.model_copy(update={"refuse_nonsense": True})
        monkeypatch.setattr(home.service._following.searcher, "settings", judging)
    answer = ask(home)
    told = home.run(home.service.replay(answer["query_id"]))
    assert told["same_ids"] and told["max_difference"] == 0.0
    assert (told["missing"], told["added"]) == (0, 0)
    assert home.run(home.service.explain(answer["query_id"])).get("hops") == answer.get("hops")


def test_hops_take_the_same_way_for_every_page(home: Home) -> None:
    whole = hopped(home, 0.0, 0.1, k=6)
    pages = [hopped(home, 0.0, 0.1, k=3, offset=offset) for offset in (0, 3)]
    assert ids(whole) == [each for page in pages for each in ids(page)]
    assert all(page["hops"] == whole["hops"] for page in pages) and len(ids(whole)) > 3


def test_what_a_hop_asked_with_is_on_record(home: Home) -> None:
    for answer, carried in ((hopped(home, 0.0), 0), (hopped(home, 0.0, 0.0), 3)):
        found = home.run(home.service._past.record(answer["query_id"], None))
        assert len(found.request["like"]) == carried and found.items >= {*found.request["like"]}
    [probe] = found.probes.values()
    mean = np.mean([vector(int(each[-4:])) for each in found.request["like"]], axis=0)
    assert np.allclose(probe.vector, unit(mean[None])[0], atol=1e-6)


def test_facets_of_hops_count_what_passed(home: Home) -> None:
    hops = [Hop("image", 0.0)]
    answer = home.run(home.service.hops(Query("12", k=1), hops, facets=True))
    assert answer["facets"]["kind"] == {"image": answer["hops"][0]["passed"]}


def test_what_repeats_a_query_that_is_gone_is_not_replayed(home: Home) -> None:
    first, again = home.ask("8", k=4), home.ask("8", k=4)
    assert home.service._journal is not None and home.service._journal.flush()
    home.store.queries.replace(f"query_id = {quoted(first['query_id'])}", [])
    assert home.run(home.service.replay(again["query_id"])) is None
    assert home.run(home.service.explain(again["query_id"]))["results"]


def test_what_repeats_another_question_is_replayed_by_that_one() -> None:
    document: Asked = {"query_id": "1", "release": "r1", "profile": "default", "degraded": []}
    document |= {"results": [], "trace": [], "asked": {}}
    searcher: Any = SimpleNamespace(engine=None)
    asked = Retrieval(Query("four", k=5), searcher, Settings())
    first = recorded(asked, document)
    again = replace(repeated(Query("vier", k=5, offset=5), document, "1"), first=first)
    query, _, _ = replayed_query(again)
    assert (query.text, query.k, query.offset) == ("four", 5, 5)
    assert first.at == asked.at


def test_a_release_whose_tables_are_gone_is_told_as_such(home: Home) -> None:
    answer = home.ask("3", EU, k=4)
    found = home.run(home.service._past.record(answer["query_id"], None))
    other: Any = SimpleNamespace(manifest=SimpleNamespace(release="r000010"))
    for release in ("r000009", found.release):
        lance = Path(home.store.root) / "lance"
        away = lance.rename(lance.with_name("away"))
        try:
            with pytest.raises(Cleaned, match=f"{release} cannot be asked any more"):
                home.run(home.service._past.replay(replace(found, release=release), None, other))
        finally:
            away.rename(lance)

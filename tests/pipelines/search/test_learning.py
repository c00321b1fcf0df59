"""Learning: what is learned answers held-out queries better, or the defaults stay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pipelines.releases.manifest import Learned
from pipelines.releases.tuned import read_learned, write_learned
from pipelines.search.fusion import learning
from pipelines.search.fusion.profiles import weights
from pipelines.search.fusion.scores import fuse
from pipelines.store import Store

CHANNELS = ("visual", "ocr", "transcript")


@dataclass(frozen=True)
class Asked:
    """A labelled query of the default profile, of which raw similarities are the evidence."""

    name: str
    relevant: Mapping[str, float]
    evidence: Mapping[str, Mapping[str, float]]
    trust: Mapping[str, float] = field(default_factory=dict)
    profile: str = "default"

    @property
    def raw(self) -> Mapping[str, Mapping[str, float]]:
        return {
            channel: {item: has[channel] for item, has in self.evidence.items() if channel in has}
            for channel in CHANNELS
        }

    @property
    def mediums(self) -> Mapping[str, str]:
        return dict.fromkeys(CHANNELS, "text")


def asked(
    count: int, told: Callable[[np.random.Generator, bool], Mapping[str, float]]
) -> list[Asked]:
    """Queries with one of 20 items to find, whose evidence is what `told` says."""
    random = np.random.default_rng(11)
    queries = []
    for number in range(count):
        wanted = int(random.integers(20))
        evidence = {f"i{place:02}": told(random, place == wanted) for place in range(20)}
        queries.append(Asked(f"query {number}", {f"i{wanted:02}": 1.0}, evidence))
    return queries


def words_tell(random: np.random.Generator, wanted: bool) -> Mapping[str, float]:
    """Looks tell nothing, and words all."""
    return {"visual": random.random(), "ocr": 0.2 * random.random() + 0.2 * wanted}


def nothing_tells(random: np.random.Generator, wanted: bool) -> Mapping[str, float]:
    return {"visual": random.random(), "ocr": random.random()}


def test_what_tells_more_than_the_defaults_think_is_learned() -> None:
    lesson = learning.learn(asked(100, words_tell))
    assert lesson.learned is not None
    default = weights()
    ratio = lesson.learned.weights["ocr"] / max(lesson.learned.weights["visual"], 1e-9)
    assert ratio > default["ocr"] / default["visual"]
    halves = {(row["half"], row["choice"]): row for row in lesson.scores}
    before, after = halves["held out", "defaults"], halves["held out", "learned"]
    assert after["ndcg@10"] > 0.9 > before["ndcg@10"]
    assert (
        before["queries"] == after["queries"]
        and sum(halves[half, "learned"]["queries"] for half in ("learned from", "held out")) == 100
    )
    assert {row["scale"] for row in lesson.scales} >= {"ocr"}
    assert all(row["after"] < row["before"] for row in lesson.scales)
    assert learning.learn(asked(100, words_tell)) == lesson


def test_the_defaults_stay_where_nothing_tells() -> None:
    lesson = learning.learn(asked(100, nothing_tells))
    seen, learned_from, before, after = (row["ndcg@10"] for row in lesson.scores)
    assert learned_from >= seen
    assert (lesson.learned is not None) == (after > before)
    assert lesson.learned is None and "not better" in lesson.reason


def test_recall_is_not_given_up_for_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    default = [share for _, share in sorted(weights().items())]

    def recall(table: learning._Table, shares: np.ndarray) -> float:
        return 1.0 if np.allclose(shares, default) else 0.5

    monkeypatch.setattr(learning._Table, "recall", recall)
    assert learning.learn(asked(100, words_tell)).learned is None


def test_few_queries_teach_nothing() -> None:
    lesson = learning.learn(asked(30, words_tell))
    assert lesson.learned is None and "too few" in lesson.reason


def test_other_profiles_are_left_out() -> None:
    queries = asked(100, words_tell)
    told = [Asked(each.name, each.relevant, each.evidence, profile="narrative") for each in queries]
    assert "0 and 0 queries" in learning.learn(told).reason


def test_queries_that_say_the_same_are_in_the_same_half() -> None:
    names = [f"query {number}" for number in range(400)]
    share = sum(map(learning.held_out, names)) / len(names)
    assert 0.4 < share < 0.6
    assert all(learning.held_out(name) == learning.held_out(f" {name.upper()}  ") for name in names)


def test_candidates_are_ranked_as_fusion_ranks_them() -> None:
    def some(random: np.random.Generator, wanted: bool) -> Mapping[str, float]:
        present = [name for name in CHANNELS if random.random() < 0.6] or ["ocr"]
        return {name: float(random.random()) for name in present}

    own = weights()
    for each in asked(50, some):
        names = sorted(own)
        trust = {"visual": 0.1}
        query = Asked(each.name, each.relevant, each.evidence, trust)
        shares = own | {"visual": own["visual"] * 0.1}
        ranked = [entry.item_id for entry in fuse(each.evidence, shares)]
        table = learning._table(query, names, {})
        places = table.order(np.array([own[name] for name in names]))
        assert [sorted(each.evidence)[place] for place in places] == ranked[:10]


def test_what_was_learned_is_kept_until_the_next_lesson(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert read_learned(store) is None
    learned = Learned(weights={"visual": 0.5}, platt={"ocr by pictures": (-3.0, 1.5)})
    write_learned(store, learned)
    assert read_learned(store) == learned
    write_learned(store, None)
    assert read_learned(store) is None

"""Diversity: like things apart, relevance alone at one extreme, scores as they were."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.search.fusion.diversity import diversify
from pipelines.search.fusion.scores import Scored, in_order


def ranking(scores: dict[str, float]) -> list[Scored]:
    return in_order([Scored.of(item, {"visual": score}) for item, score in scores.items()])


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def ids(ranked: list[Scored]) -> list[str]:
    return [entry.item_id for entry in ranked]


LIKE = {"beach 1": 0.90, "beach 2": 0.89, "beach 3": 0.88, "forest": 0.70, "city": 0.65}
VECTORS = {
    "beach 1": unit(1, 0, 0),
    "beach 2": unit(1, 0.05, 0),
    "beach 3": unit(1, 0, 0.05),
    "forest": unit(0, 1, 0),
    "city": unit(0, 0, 1),
}


def test_near_duplicates_are_spread_and_scores_stay() -> None:
    plain = ranking(LIKE)
    spread = diversify(plain, [VECTORS], 0.5)
    assert ids(spread) == ["beach 1", "forest", "city", "beach 2", "beach 3"]
    assert {entry.item_id: entry for entry in spread} == {e.item_id: e for e in plain}


def test_small_scores_weigh_as_much_as_large_ones() -> None:
    small = {item: score / 50 for item, score in LIKE.items()}
    for trade_off in (0.2, 0.5, 0.8):
        one, other = (diversify(ranking(each), [VECTORS], trade_off) for each in (LIKE, small))
        assert ids(one) == ids(other)


def test_an_item_without_a_vector_is_like_nothing() -> None:
    ranked = ranking({"a": 0.9, "b": 0.8, "sound": 0.5})
    vectors = {"a": unit(1, 0), "b": unit(1, 0)}
    assert ids(diversify(ranked, [vectors], 0.5)) == ["a", "sound", "b"]
    assert ids(diversify(ranked, [{}], 0.5)) == ids(diversify(ranked, [], 0.5)) == ids(ranked)
    assert diversify([], [vectors], 0.5) == []


def test_what_is_alike_in_any_channel_is_alike() -> None:
    ranked = ranking({"report 1": 0.9, "report 2": 0.8, "photo 1": 0.7, "photo 2": 0.6})
    shown = {"photo 1": unit(1, 0), "photo 2": unit(1, 0)}
    said = {"report 1": unit(1, 0), "report 2": unit(1, 0), "photo 1": unit(0, 1)}
    spread = ids(diversify(ranked, [shown, said], 0.5))
    assert spread == ["report 1", "photo 1", "report 2", "photo 2"]


def test_what_is_hardly_relevant_is_not_lifted_for_being_different() -> None:
    ranked = ranking({"roof 1": 0.40, "roof 2": 0.10, "noise": 0.03, "letter": 0.01})
    vectors = {"roof 1": unit(1, 0), "roof 2": unit(1, 0.01)}
    assert ids(diversify(ranked, [vectors], 0.5)) == ids(ranked)


@given(
    st.dictionaries(st.text("abcd", min_size=1, max_size=3), st.floats(0, 1), max_size=12),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_nothing_is_lost_and_relevance_alone_is_the_plain_order(
    scores: dict[str, float], seed: int, trade_off: float
) -> None:
    plain = ranking(scores)
    chance = np.random.default_rng(seed)
    vectors = {item: unit(*chance.normal(size=3)) for item in scores}
    spread = diversify(plain, [vectors], trade_off)
    assert sorted(ids(spread)) == sorted(ids(plain))
    assert spread[:1] == plain[:1]
    if trade_off == 1.0:
        assert spread == plain

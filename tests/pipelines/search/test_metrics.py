import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from pipelines.search.measuring import metrics

KEYS = {"hit@10", "recall@10", "recall@100", "precision@1", "mrr", "map", "ndcg@5", "ndcg@10"}


@st.composite
def judged(draw, minimum=2):
    """A full ranking of items and their grades, at least one of them relevant."""
    grades = draw(st.lists(st.integers(0, 4), min_size=minimum, max_size=150).filter(any))
    items = [f"item-{i}" for i in range(len(grades))]
    relevant = dict(zip(items, map(float, grades), strict=True))
    return draw(st.permutations(items)), relevant


def scores_of(ranked):
    return np.arange(len(ranked), 0, -1, dtype=float)


def test_by_hand():
    ranked = ["x", "a", "y", "b", "z"]
    row = metrics.ranking_metrics(ranked, {"a": 2, "b": 1, "c": 1, "z": 0})
    gain = 3 / math.log2(3) + 1 / math.log2(5)
    best = 3 + 1 / math.log2(3) + 1 / 2
    assert row.keys() == KEYS
    assert row == pytest.approx(
        {
            "hit@10": 1,
            "recall@10": 2 / 3,
            "recall@100": 2 / 3,
            "precision@1": 0,
            "mrr": 1 / 2,
            "map": (1 / 2 + 2 / 4) / 3,
            "ndcg@5": gain / best,
            "ndcg@10": gain / best,
        }
    )


def test_cutoffs():
    ranked = [f"x{i}" for i in range(10)] + ["a"] + [f"y{i}" for i in range(89)] + ["b"]
    row = metrics.ranking_metrics(ranked, {"a": 1, "b": 1})
    assert (row["hit@10"], row["recall@10"], row["recall@100"]) == (0, 0, 0.5)
    assert row["mrr"] == pytest.approx(1 / 11)
    assert row["map"] == pytest.approx((1 / 11 + 2 / 101) / 2)
    assert metrics.hit_at(ranked, {"a": 1}, 11) == 1
    assert metrics.precision_at(["a"], {"a": 1}, 4) == 0.25


def test_nothing_found():
    assert set(metrics.ranking_metrics([], {"a": 1}).values()) == {0.0}
    assert set(metrics.ranking_metrics(["x"], {"a": 1}).values()) == {0.0}


@pytest.mark.parametrize(
    ("ranked", "relevant", "message"),
    [
        (["a", "a"], {"a": 1}, "repeats"),
        (["a"], {}, "no relevant"),
        (["a"], {"a": 0}, "no relevant"),
        (["a"], {"a": -1, "b": 1}, "negative"),
        (["a"], {"a": math.nan, "b": 1}, "finite"),
    ],
)
def test_bad_input(ranked, relevant, message):
    with pytest.raises(ValueError, match=message):
        metrics.ranking_metrics(ranked, relevant)


@settings(deadline=None)
@given(judged(), st.sampled_from([5, 10]))
def test_ndcg_is_sklearns(case, k):
    ranked, relevant = case
    gains = [[2 ** relevant[item] - 1 for item in ranked]]
    expected = ndcg_score(gains, [scores_of(ranked)], k=k)
    assert metrics.ndcg_at(ranked, relevant, k) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(judged())
def test_average_precision_is_sklearns_on_a_full_ranking(case):
    ranked, relevant = case
    expected = average_precision_score([relevant[item] > 0 for item in ranked], scores_of(ranked))
    assert metrics.average_precision(ranked, relevant) == pytest.approx(expected, abs=1e-9)


@given(judged(minimum=1), st.data())
def test_invariants(case, data):
    ranked, relevant = case
    ranked = ranked[: data.draw(st.integers(0, len(ranked)))]
    row = metrics.ranking_metrics(ranked, relevant)
    assert all(0 <= value <= 1 for value in row.values())

    perfect = sorted(relevant, key=lambda item: -relevant[item])
    best = metrics.ranking_metrics(perfect, relevant)
    found = sum(grade > 0 for grade in relevant.values())
    assert best.pop("recall@10") == min(10, found) / found
    assert best.pop("recall@100") == min(100, found) / found
    assert set(best.values()) == {1.0}


@given(judged(), st.data())
def test_moving_a_more_relevant_item_up_never_lowers(case, data):
    ranked, relevant = case
    place = data.draw(st.integers(1, len(ranked) - 1))
    pair = sorted(ranked[place - 1 : place + 1], key=lambda item: relevant[item])
    before = [*ranked[: place - 1], *pair, *ranked[place + 1 :]]
    after = [*ranked[: place - 1], *reversed(pair), *ranked[place + 1 :]]
    lower = metrics.ranking_metrics(before, relevant)
    higher = metrics.ranking_metrics(after, relevant)
    assert all(higher[name] >= lower[name] for name in lower)


def test_mean():
    rows = [{"mrr": 1.0, "map": 0.5}, {"mrr": 0.0, "map": 0.25}]
    assert metrics.mean_metrics(rows) == {"mrr": 0.5, "map": 0.375}
    with pytest.raises(ValueError, match="no queries"):
        metrics.mean_metrics([])
    with pytest.raises(ValueError, match="same metrics"):
        metrics.mean_metrics([{"mrr": 1.0}, {"map": 1.0}])

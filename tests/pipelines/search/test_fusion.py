"""Fusion: shares that add up, missing channels, stable order, and a scale that keeps the order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.search import calibration
from pipelines.search.fusion import fuse
from pipelines.search.profiles import BM25, weights

CHANNELS = sorted(weights())
evidence = st.dictionaries(
    st.text("abc", min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(CHANNELS), st.floats(0, 1), min_size=1),
    max_size=20,
)


@given(evidence)
def test_shares_sum_to_the_score_and_order_is_by_score_then_id(
    found: dict[str, dict[str, float]],
) -> None:
    ranked = fuse(found, weights())
    assert {entry.item_id for entry in ranked} == set(found)
    for entry in ranked:
        assert sum(entry.channels.values()) == pytest.approx(entry.score, abs=1e-9)
        assert entry.channels.keys() == found[entry.item_id].keys()
        assert 0 <= entry.score <= 1 + 1e-9
    assert ranked == sorted(ranked, key=lambda entry: (-entry.score, entry.item_id))


def test_a_missing_channel_leaves_the_others_their_full_weight() -> None:
    full = fuse({"a": dict.fromkeys(CHANNELS, 0.8)}, weights())[0]
    alone = fuse({"a": {"visual": 0.8}}, weights())[0]
    assert full.score == pytest.approx(0.8) == alone.score


def test_ties_are_broken_by_id() -> None:
    same = {"visual": 0.5}
    assert [entry.item_id for entry in fuse({"b": same, "a": same}, weights())] == ["a", "b"]


@given(
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.sampled_from(["builtin", "open_clip:ViT/x", "wav2vec2:x"]),
    st.sampled_from(["text", "pictures", "sound"]),
)
def test_calibration_keeps_the_order(one: float, other: float, spec: str, medium: str) -> None:
    low, high = (calibration.similarity(each, spec, medium) for each in sorted((one, other)))
    assert 0 <= low <= high <= 1


def test_one_match_among_many_words_says_little() -> None:
    assert calibration.bm25(3.0, 1, 1000) > calibration.bm25(3.0, 12, 1000)
    assert calibration.bm25(0.0, 0, 0) == 0.0
    assert weights()[BM25] > 0

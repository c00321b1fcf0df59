"""Fusion: sums that add up, the formulas of every profile, stable order, a scale that keeps it."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.search.fusion import calibration
from pipelines.search.fusion.evidence import Evidence
from pipelines.search.fusion.one_vector import mean_vector
from pipelines.search.fusion.profiles import BM25, DEFAULT, PROFILES, weights
from pipelines.search.fusion.scores import RECENCY, Scored, fuse, recency

NAMES = sorted(weights())
KINDS = ("text", "image", "document", "audio", "video")
evidence = st.dictionaries(
    st.text("abc", min_size=1, max_size=4),
    st.dictionaries(
        st.sampled_from(NAMES), st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1), min_size=1
    ),
    max_size=20,
)
Found = dict[str, float]


def by(profile: str, found: dict[str, Found], **known: object) -> list[Scored]:
    return fuse(found, weights(profile), PROFILES[profile], **known)  # type: ignore[arg-type]


@given(evidence, st.sampled_from(sorted(PROFILES)), st.sampled_from([0.0, 0.25]), st.data())
def test_parts_sum_to_the_score_and_order_is_by_score_then_id(
    found: dict[str, Found], name: str, weight: float, data: st.DataObject
) -> None:
    ages = st.fixed_dictionaries({item: st.floats(-10, 1e4) for item in found})
    kinds = st.fixed_dictionaries({item: st.sampled_from(KINDS) for item in found})
    profile = PROFILES[name]
    profile = replace(profile, recency=profile.recency or weight)
    known = {"days": data.draw(ages), "kinds": data.draw(kinds), "asked": "image"}
    ranked = fuse(found, weights(name), profile, **known)  # type: ignore[arg-type]
    most = data.draw(st.integers(1, 25))
    best = fuse(found, weights(name), profile, **known, most=most)  # type: ignore[arg-type]
    assert [*best] == ranked[:most]
    assert {entry.item_id for entry in ranked} == set(found)
    for entry in ranked:
        assert abs(sum(entry.channels.values()) - entry.score) < 1e-6
        assert entry.channels.keys() <= found[entry.item_id].keys() | {RECENCY}
        assert (RECENCY in entry.channels) == (profile.recency > 0)
    assert [*ranked] == sorted(ranked, key=lambda entry: (-entry.score, entry.item_id))


@given(evidence)
def test_by_default_every_channel_has_a_part_and_scores_are_shares(
    found: dict[str, Found],
) -> None:
    for entry in by(DEFAULT, found):
        assert entry.channels.keys() == found[entry.item_id].keys()
        assert 0 <= entry.score <= 1 + 1e-9


def test_a_missing_channel_leaves_the_others_their_full_weight() -> None:
    full = by(DEFAULT, {"a": dict.fromkeys(NAMES, 0.8)})[0]
    alone = by(DEFAULT, {"a": {"visual": 0.8}})[0]
    assert full.score == pytest.approx(0.8) == alone.score


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_ties_are_broken_by_id(profile: str) -> None:
    same = {"visual": 0.5}
    assert [entry.item_id for entry in by(profile, {"b": same, "a": same})] == ["a", "b"]


# What the documents write, as they write it.


def fused_score(visual_s: float, caption_s: float, ocr_s: float, recency_days: float) -> float:
    fresh = 1 / (1 + 0.03 * recency_days)
    return 0.4 * visual_s + 0.3 * caption_s + 0.2 * ocr_s + 0.1 * fresh


def hybrid_score(bm25_score: float, dense_score: float, alpha: float = 0.6) -> float:
    return alpha * dense_score + (1 - alpha) * bm25_score


def reciprocal_score(ranks: dict[str, int]) -> float:
    return sum(weights()[name] * 1 / (60 + rank) for name, rank in ranks.items())


def fixtures(low: float, absent: float) -> dict[str, Found]:
    """Twenty-five items of some of the channels each, the first with all of them."""
    chance = random.Random(7)
    items = {"item-00": {name: chance.uniform(low, 1) for name in NAMES}}
    for number in range(1, 25):
        present = [name for name in NAMES if chance.random() > absent] or ["visual"]
        items[f"item-{number:02d}"] = {name: chance.uniform(low, 1) for name in present}
    return items


def check(profile: str, expected: Callable[[str, Found], float], **known: object) -> None:
    """Hold every score to a formula, and the order to the scores."""
    found = fixtures(0.0 if PROFILES[profile].scale == "calibrated" else -0.2, absent=0.3)
    ranked = by(profile, found, **known)
    wanted = {item: expected(item, channels) for item, channels in found.items()}
    assert len(ranked) == 25
    for entry in ranked:
        assert entry.score == pytest.approx(wanted[entry.item_id], abs=1e-9)
    assert [entry.item_id for entry in ranked] == sorted(wanted, key=lambda item: -wanted[item])


def dense(channels: Found) -> list[float]:
    return [channels[name] for name in channels if name != BM25]


def test_weighted_recency_is_the_formula() -> None:
    days = {item: 17.0 * number for number, item in enumerate(fixtures(0, 0.3))}
    check(
        "weighted_recency",
        lambda item, c: fused_score(
            c.get("visual", 0), c.get("caption", 0), c.get("ocr", 0), days[item]
        ),
        days=days,
    )


def test_hybrid_is_the_formula_with_the_best_channel_as_the_dense_one() -> None:
    check("hybrid", lambda _, c: hybrid_score(c.get(BM25, 0), max(dense(c), default=0)))


def test_mean_vector_ranks_by_the_best_cosine() -> None:
    check("mean_vector", lambda _, c: max(dense(c), default=0))


@pytest.mark.parametrize("asked", ["text", "image", "audio", "video"])
def test_the_matrix_scales_by_what_is_asked_with_and_what_is_found(asked: str) -> None:
    kinds = {item: KINDS[number % 5] for number, item in enumerate(fixtures(0, 0.3))}
    matrix = PROFILES["modality_matrix"].modalities

    def expected(item: str, channels: Found) -> float:
        return max(dense(channels), default=0) * matrix[asked][kinds[item]]

    check("modality_matrix", expected, asked=asked, kinds=kinds)
    assert matrix[asked][asked] == 1.0


def test_a_matrix_of_ones_own_changes_the_order() -> None:
    found = {"photo": {"visual": 0.5}, "note": {"ocr": 0.45}}
    kinds = {"photo": "image", "note": "text"}
    own = replace(PROFILES["modality_matrix"], modalities={"text": {"image": 0.5}})
    ranked = fuse(found, own.weights, own, kinds=kinds)
    assert [entry.item_id for entry in ranked] == ["note", "photo"]
    assert [entry.score for entry in ranked] == [0.45, 0.25]
    assert fuse(found, own.weights, own, kinds=kinds, asked="image")[0].item_id == "photo"


def test_reciprocal_rank_is_the_formula() -> None:
    found = fixtures(-0.2, absent=0.3)

    def rank(item: str, name: str) -> int:
        above = (other for other in found.values() if name in other)
        return 1 + sum(other[name] > found[item][name] for other in above)

    check(
        "reciprocal_rank",
        lambda item, c: reciprocal_score(
            {name: rank(item, name) for name in c if name != BM25 or c[name] > 0}
        ),
    )


def test_reciprocal_rank_weighs_channels_and_shares_ranks() -> None:
    profile = PROFILES["reciprocal_rank"]
    found = {"a": {"visual": 0.3, BM25: 0.0}, "b": {"visual": 0.3}, "c": {"visual": 0.1, BM25: 7.0}}
    ranked = fuse(found, {"visual": 3.0, BM25: 1.0}, profile)
    assert {entry.item_id: dict(entry.channels) for entry in ranked} == {
        "a": {"visual": 3 / 61},
        "b": {"visual": 3 / 61},
        "c": {"visual": 3 / 63, BM25: 1 / 61},
    }


def test_recency_halves_in_a_month_and_adds_to_any_profile() -> None:
    assert recency(0) == recency(-3) == 1.0
    assert recency(100) == pytest.approx(0.25)
    found = {"old": {"visual": 0.5}, "new": {"visual": 0.49}, "undated": {"visual": 0.5}}
    fresh = replace(PROFILES[DEFAULT], recency=0.1)
    ranked = fuse(found, weights(), fresh, days={"old": 400, "new": 1})
    assert [entry.item_id for entry in ranked] == ["new", "old", "undated"]
    assert ranked[0].channels[RECENCY] == pytest.approx(0.1 / 1.03)
    assert ranked[2].channels[RECENCY] == 0.0
    assert by(DEFAULT, found)[0].channels.keys() == {"visual"}


def test_one_vector_is_the_mean_of_vectors_of_one_model() -> None:
    one, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    assert mean_vector([("builtin", one)]).tolist() == [1, 0]
    mean = mean_vector([("builtin", one), ("builtin", other), ("builtin", other)])
    assert mean == pytest.approx(np.array([1, 2]) / 5**0.5)


@pytest.mark.parametrize(
    ("models", "widths", "reason"),
    [
        (("open_clip:a", "ada"), (512, 1536), r"open_clip:a \(512 wide\), ada \(1536 wide\)"),
        (("builtin", "builtin"), (512, 1536), r"builtin \(512 wide\), builtin \(1536 wide\)"),
        (("open_clip:a", "open_clip:b"), (512, 512), "one model"),
    ],
)
def test_vectors_of_different_spaces_are_refused(
    models: tuple[str, str], widths: tuple[int, int], reason: str
) -> None:
    parts = [
        (model, np.ones(width, np.float32)) for model, width in zip(models, widths, strict=True)
    ]
    with pytest.raises(BadInput, match=reason):
        mean_vector(parts)


def test_opposite_vectors_make_no_question() -> None:
    one = np.array([1, 0], np.float32)
    with pytest.raises(BadInput, match="cancels out"):
        mean_vector([("builtin", one), ("builtin", -one)])
    with pytest.raises(BadInput, match="none"):
        mean_vector([])


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


def test_every_channel_has_a_weight_by_default() -> None:
    assert weights().keys() == {*CHANNELS, BM25}


def test_a_score_does_not_depend_on_which_others_are_looked_at() -> None:
    found = Evidence.of({"a": {"caption": 0.8}, "b": {"visual": 0.3, "caption": 0.1}})
    both = fuse(found, weights())
    alone = fuse(Evidence(["a"], found.channels, found.rows(["a"])), weights())
    assert alone[0] == next(each for each in both if each.item_id == "a")
    assert alone[0].score < 0.8

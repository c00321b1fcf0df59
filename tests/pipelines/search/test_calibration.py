"""Scales: Platt's curve is the most likely one, and how far chances are from frequencies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from pipelines.search.fusion.calibration import (
    bm25,
    calibration_error,
    fit_platt,
    matched,
    platt,
    scale_of,
)


def drawn(count: int, a: float, b: float) -> tuple[list[float], list[bool]]:
    random = np.random.default_rng(3)
    values = random.normal(size=count)
    return values.tolist(), (random.random(count) < 1 / (1 + np.exp(a * values + b))).tolist()


def test_the_curve_that_made_the_labels_is_found() -> None:
    a, b = fit_platt(*drawn(4000, -3.0, 4.0))
    assert a == pytest.approx(-3.0, abs=0.3) and b == pytest.approx(4.0, abs=0.3)


def test_the_curve_is_where_a_general_optimiser_finds_the_least_loss() -> None:
    values, relevant = drawn(300, -2.0, 1.0)
    x, y = np.array(values), np.array(relevant)
    high, low = (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2)
    target = np.where(y, high, low)

    def loss(curve: np.ndarray) -> float:
        exponent = curve[0] * x + curve[1]
        return float(
            np.sum(target * np.logaddexp(0, exponent) + (1 - target) * np.logaddexp(0, -exponent))
        )

    best = minimize(loss, [0.0, 0.0], method="BFGS").x
    assert fit_platt(values, relevant) == pytest.approx(tuple(best), abs=1e-3)


def test_labels_that_a_threshold_tells_apart_give_a_finite_curve() -> None:
    a, b = fit_platt([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    assert a < 0 and math.isfinite(a) and math.isfinite(b)
    assert platt(0.2, (a, b)) < 0.5 < platt(0.8, (a, b)) < 1


@pytest.mark.parametrize("relevant", [[True, True], [False, False], []])
def test_labels_of_one_kind_have_no_curve(relevant: list[bool]) -> None:
    with pytest.raises(ValueError, match="relevant and of other"):
        fit_platt([0.5] * len(relevant), relevant)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_chances_are_chances(value: float, a: float, b: float) -> None:
    assert 0 <= platt(value, (a, b)) <= 1


def test_calibration_error_by_hand() -> None:
    # Bins 0.1 and 0.9 hold two each: |0.2 - 1| / 2 and |1.8 - 1| / 2 as means, weighed by 2 / 4.
    assert calibration_error([0.1, 0.1, 0.9, 0.9], [True, False, True, False]) == pytest.approx(0.4)
    assert calibration_error([0.0, 1.0], [False, True]) == 0
    assert calibration_error([], []) == 0


def test_a_fitted_curve_is_better_calibrated_than_what_it_was_fitted_to() -> None:
    values, relevant = drawn(2000, -3.0, 4.0)
    before = calibration_error(np.clip(values, 0, 1).tolist(), relevant)
    curve = fit_platt(values[:1000], relevant[:1000])
    after = calibration_error([platt(value, curve) for value in values[1000:]], relevant[1000:])
    assert after < 0.05 < before


def test_bm25_rises_to_one_with_what_is_matched() -> None:
    scores = [bm25(score, 4, 100) for score in (0.0, 1.0, 2.0, 4.0, 50.0)]
    assert scores == sorted(scores) and scores[0] == 0 and scores[-1] == 1
    assert bm25(3.0, 1, 100) > bm25(3.0, 6, 100)
    assert matched(3.0, 2, 100) == pytest.approx(matched(6.0, 4, 100))
    assert matched(3.0, 0, 0) == 0


def test_each_medium_has_a_scale_of_its_own() -> None:
    assert scale_of("visual", "text") == "visual"
    assert scale_of("visual", "pictures") not in {"visual", scale_of("visual", "sound")}

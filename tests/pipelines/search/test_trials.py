"""A trial: what is counted, which differences are told, and that chance is told as chance."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.errors import MediadexError
from pipelines.outcomes import dt, now
from pipelines.search.measuring import trials
from pipelines.search.measuring.trials import FEWEST, Measure, Trial, compare
from pipelines.store import Store

BEGUN = now() - dt.timedelta(days=7)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def query(
    number: int, user: str | None, profile: str = "default", shown: int = 10, ms: float = 20.0
) -> dict[str, Any]:
    """A row of the journal, as far as a trial looks at it."""
    return {
        "query_id": f"{number:032x}",
        "at": BEGUN + dt.timedelta(seconds=number),
        "user": user,
        "request": json.dumps({"profile": profile, "like": None}),
        "results": json.dumps([{}] * shown),
        "trace": json.dumps([{"at_ms": 0.0, "ms": 1.0}, {"at_ms": 1.0, "ms": ms - 1.0}]),
    }


def click(number: int, position: int, kind: str = "click", after_s: float = 60) -> dict[str, Any]:
    return {
        "query_id": f"{number:032x}",
        "item_id": f"i{position}",
        "kind": kind,
        "position": position,
        "at": BEGUN + dt.timedelta(seconds=number + after_s),
    }


def measures(trial: Trial) -> dict[str, Measure]:
    return {each.name: each for each in trial.measures}


def put(store: Store, random: np.random.Generator, clicks: Sequence[float], users: int) -> None:
    """Have users ask six queries each; theirs is the chance to click, times that of their arm."""
    queries, clicked = [], []
    for arm, chance in enumerate(clicks):
        for user in range(users):
            likes = chance * random.uniform(0.2, 1.0)
            for _ in range(6):
                number = len(queries)
                profile = ("default", "hybrid")[arm]
                ms = random.uniform(10, 30)
                queries.append(query(number, f"{arm}-{user}", profile, ms=ms))
                if random.random() < likes:
                    clicked.append(click(number, int(random.integers(1, 11))))
    # The trial begins with its first query.
    queries[0], queries[-1] = (
        queries[0] | {"at": queries[-1]["at"]},
        queries[-1] | {"at": queries[0]["at"]},
    )
    store.queries.append(queries)
    store.feedback.append(clicked)


def test_each_measure_is_what_it_says(store: Store) -> None:
    rows = [
        query(0, "a", "default"),
        query(1, "b", "hybrid", shown=4, ms=10),
        query(2, "b", "hybrid", shown=0, ms=30),
        query(3, "b", "hybrid", shown=6, ms=50) | {"repeats": "0" * 32, "trace": "[]"},
        query(4, "a", "default", shown=5, ms=40),
        query(5, None, "default"),
        query(6, "b", "default", shown=0, ms=30),
        query(7, "a", "default") | {"request": json.dumps({"profile": "default", "like": "i"})},
    ]
    store.queries.append(rows)
    store.feedback.append(
        [
            click(0, 1),
            click(1, 4, after_s=9),
            click(1, 2, after_s=5),
            click(1, 2, "good", after_s=70),
            click(3, 1, "bad"),
            click(4, 5, "good"),
        ]
    )
    trial = compare(store, "hybrid")
    # Left out: what was asked before the trial, by operators, and by an item. Who chose another
    # profile once stays.
    assert (trial.users, trial.queries) == ((1, 1), (1, 4))
    found = {name: (each.usual, each.trial) for name, each in measures(trial).items()}
    assert found == {
        "click_through": (1 / 5, 2 / 10),
        "first_click_mrr": (1 / 5, 1 / 2),
        "without_click": (0.0, 1 / 2),
        "no_match": (0.0, 2 / 4),
        "p50_ms": (40.0, 30.0),
        "p95_ms": (40.0, 30.0),
    }
    assert {each.verdict for each in trial.measures} == {"too little to tell"}
    assert "1 users of the usual profile and 1 of hybrid are too few" in trial.reason
    assert trial.as_document()["reason"] == trial.reason


def test_a_difference_between_users_is_told_and_chance_is_not(store: Store) -> None:
    put(store, np.random.default_rng(1), (0.3, 1.0), 2 * FEWEST)
    trial = compare(store, "hybrid")
    found = measures(trial)
    assert found["without_click"].verdict == "lower on trial"
    assert found["click_through"].verdict == "higher on trial"
    assert found["p50_ms"].verdict == "may be chance"
    assert "without_click is lower on trial" in trial.reason
    each = found["click_through"]
    assert each.low is not None and each.high is not None
    assert each.low < (each.trial or 0) - (each.usual or 0) < each.high
    assert compare(store, "hybrid") == trial


def test_intervals_hold_the_truth_about_as_often_as_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "_TIMES", 200)
    random, wrong = np.random.default_rng(2), 0
    for number in range(15):
        store = Store(str(tmp_path / str(number)))
        put(store, random, (0.6, 0.6), FEWEST)
        wrong += measures(compare(store, "hybrid"))["without_click"].is_clear
    assert wrong <= 3


def test_without_a_trial_the_way_out_is_told(store: Store) -> None:
    with pytest.raises(MediadexError, match="trial_profile"):
        compare(store, "")
    with pytest.raises(MediadexError, match="has answered no user yet"):
        compare(store, "hybrid")

"""A profile on trial against the usual one, by what people did with the answers.

One user's queries are not independent, so users are what is resampled: the bootstrap of clusters,
Field & Welsh, Bootstrapping clustered data, JRSS B 69, 2007, with percentile intervals of 95 %
(Efron & Tibshirani, An Introduction to the Bootstrap, 1993).
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel

from pipelines.errors import MediadexError
from pipelines.search.journal.feedback import GRADES
from pipelines.store import Store

FEWEST = 20
"""Users that each arm needs: of fewer, intervals are too narrow."""

_TIMES = 1000
_SEED = 7
_COLUMNS = ["query_id", "at", "user", "request", "results", "trace", "repeats"]


class Measure(BaseModel):
    """One measure of both arms, and between what the difference (trial - usual) lies at 95 %.

    `None` where there is nothing to measure it by, or where there are too few users to tell.
    """

    name: str
    usual: float | None
    trial: float | None
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str:
        """What can be said."""
        if self.low is None or self.high is None:
            return "too little to tell"
        if not self.is_clear:
            return "may be chance"
        return "higher on trial" if self.low > 0 else "lower on trial"

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0: for one in twenty measures it does by chance."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


class Trial(BaseModel):
    """What users did with the answers of a profile on trial, and with the usual ones.

    A user belongs, with all queries, to that by which most of them were answered: who chooses a
    profile now and then stays. `users` and `queries` are counted as (usual, trial), from the first
    query on that the trial answered.
    """

    profile: str
    users: tuple[int, int]
    queries: tuple[int, int]
    measures: list[Measure]

    @property
    def reason(self) -> str:
        """What the trial tells as a whole."""
        if min(self.users) < FEWEST:
            return (
                f"{self.users[0]} users of the usual profile and {self.users[1]} of {self.profile} "
                f"are too few to tell; {FEWEST} of each are needed"
            )
        told = [f"{each.name} is {each.verdict}" for each in self.measures if each.is_clear]
        return "; ".join(told) or "every difference may be chance"

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each measure, with what can be said."""
        return [each.model_dump() | {"verdict": each.verdict} for each in self.measures]

    def as_document(self) -> dict[str, Any]:
        """Write it for `--json`."""
        return self.model_dump() | {"measures": self.rows(), "reason": self.reason}


class _Query:
    """What of one answered query is counted."""

    def __init__(self, row: Mapping[str, Any], liked: Mapping[str, Sequence[tuple[Any, int]]]):
        steps = json.loads(row["trace"])
        self.user: str = row["user"]
        self.shown = len(json.loads(row["results"]))
        # Of a cached answer no step took time.
        self.ms = None if row["repeats"] or not steps else steps[-1]["at_ms"] + steps[-1]["ms"]
        said = liked.get(row["query_id"], ())
        self.clicks = len({position for _, position in said})
        self.first = min(said)[1] if said else None


class _Arm:
    """The queries of one arm, and which of its users asked each, by number."""

    def __init__(self, queries: Sequence[_Query]):
        numbers: dict[str, int] = {}
        self.queries = queries
        self.owners = [numbers.setdefault(each.user, len(numbers)) for each in queries]
        self.users = len(numbers)

    def again(self, random: np.random.Generator) -> np.ndarray:
        """Draw as many users, with replacement: how often each was drawn."""
        return np.bincount(random.integers(self.users, size=self.users), minlength=self.users)


def compare(store: Store, profile: str) -> Trial:
    """Compare the users whom a profile on trial answered with all others who gave their name.

    Raises MediadexError where no profile is on trial, or it has answered nobody yet.
    """
    if not profile:
        raise MediadexError("no profile is on trial; the setting trial_profile puts one there")
    rows = store.queries.rows(_COLUMNS, '"user" IS NOT NULL')
    asked = [(row, json.loads(row["request"])) for row in rows]
    begun = min((row["at"] for row, said in asked if said["profile"] == profile), default=None)
    if begun is None:
        raise MediadexError(f"the profile {profile!r} has answered no user yet")
    liked, balance = _liked(store), Counter[str]()
    queries = []
    for row, said in asked:
        # What is like an item has no profile on trial.
        if row["at"] >= begun and said["like"] is None:
            queries.append(_Query(row, liked))
            balance[row["user"]] += 1 if said["profile"] == profile else -1
    usual = _Arm([each for each in queries if balance[each.user] <= 0])
    trial = _Arm([each for each in queries if balance[each.user] > 0])
    return Trial(
        profile=profile,
        users=(usual.users, trial.users),
        queries=(len(usual.queries), len(trial.queries)),
        measures=[_measure(name, usual, trial) for name in _MEASURES],
    )


def _liked(store: Store) -> dict[str, list[tuple[Any, int]]]:
    """Return when and on which ranks results of each query were clicked or found good."""
    liked = defaultdict(list)
    for row in store.feedback.rows(["query_id", "kind", "position", "at"]):
        if GRADES[row["kind"]] > 0:
            liked[row["query_id"]].append((row["at"], row["position"]))
    return liked


Statistic = Callable[[np.ndarray], float]
"""A measure of an arm, by how often each of its users is counted: (users,)."""


def _ratio(take: Callable[[_Query], tuple[float, float]]) -> Callable[[_Arm], Statistic]:
    """Return a measure that is a sum over queries divided by another."""

    def of(arm: _Arm) -> Statistic:
        sums = np.zeros((2, arm.users))
        for each, user in zip(arm.queries, arm.owners, strict=True):
            sums[:, user] += take(each)

        def statistic(counts: np.ndarray) -> float:
            above, below = sums @ counts
            return above / below if below else math.nan

        return statistic

    return of


def _quantile(level: float) -> Callable[[_Arm], Statistic]:
    """Return a measure that is a quantile of the times that answers took."""

    def of(arm: _Arm) -> Statistic:
        timed = sorted(
            (each.ms, user)
            for each, user in zip(arm.queries, arm.owners, strict=True)
            if each.ms is not None
        )
        times, owners = [ms for ms, _ in timed], np.array([user for _, user in timed], np.intp)

        def statistic(counts: np.ndarray) -> float:
            below = np.cumsum(counts[owners])
            if not len(below) or not below[-1]:
                return math.nan
            return times[int(np.searchsorted(below, level * below[-1]))]

        return statistic

    return of


_MEASURES: Mapping[str, Callable[[_Arm], Statistic]] = {
    "click_through": _ratio(lambda each: (each.clicks, each.shown)),
    "first_click_mrr": _ratio(lambda each: (1 / each.first, 1) if each.first else (0, 0)),
    "without_click": _ratio(lambda each: (each.shown > 0 and not each.clicks, each.shown > 0)),
    "no_match": _ratio(lambda each: (each.shown == 0, 1)),
    "p50_ms": _quantile(0.5),
    "p95_ms": _quantile(0.95),
}


def _measure(name: str, usual: _Arm, trial: _Arm) -> Measure:
    of_usual, of_trial = (_MEASURES[name](arm) for arm in (usual, trial))
    known = [of(np.ones(arm.users)) for of, arm in ((of_usual, usual), (of_trial, trial))]
    told = [None if math.isnan(each) else each for each in known]
    if None in told or min(usual.users, trial.users) < FEWEST:
        return Measure(name=name, usual=told[0], trial=told[1])
    random = np.random.default_rng(_SEED)
    apart = [of_trial(trial.again(random)) - of_usual(usual.again(random)) for _ in range(_TIMES)]
    low, high = np.nanpercentile(apart, (2.5, 97.5)).tolist()
    return Measure(name=name, usual=told[0], trial=told[1], low=low, high=high)

"""Another profile or release on the same queries: what each metric gains, and how surely."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from pipelines.errors import BadInput
from pipelines.releases.log import manifests
from pipelines.search.asked.query import AUTO, Query
from pipelines.search.engines.protocol import Allowed
from pipelines.search.fusion.profiles import PROFILES
from pipelines.search.fusion.scores import ids_of
from pipelines.search.measuring.evaluation import DEPTH, Judged, ask
from pipelines.search.measuring.metrics import ranking_metrics
from pipelines.search.searcher import Searcher

CONFIDENCE = 95.0
_RESAMPLES = 10_000
_SEED = 11


async def against(
    searcher: Searcher, allowed: Allowed, judged: Sequence[Judged], name: str
) -> list[dict[str, Any]]:
    """Ask the same queries by another profile, or another release, and compare.

    A query that cannot be asked so finds nothing. Raises BadInput for a name that is neither, and
    MediadexError for a release whose tables were cleaned.
    """
    query = Query(k=DEPTH, profile=name if name in PROFILES else AUTO)
    if name not in PROFILES:
        searcher = await _release(searcher, name)
    theirs = []
    for each in judged:
        ids: list[str] = []
        with suppress(BadInput):
            ids = ids_of((await ask(searcher, allowed, each.labelled, query)).ranked)[:DEPTH]
        theirs.append(ranking_metrics(ids, each.relevant))
    return deltas([ranking_metrics(each.fused, each.relevant) for each in judged], theirs)


async def _release(serving: Searcher, name: str) -> Searcher:
    past = manifests(serving.store)
    if name not in past:
        known = ", ".join((*PROFILES, *past))
        raise BadInput(f"{name} is neither a profile nor a release; there are {known}")
    return await Searcher.of_past(serving.store, past[name], serving.settings)


def deltas(
    mine: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]]
) -> list[dict[str, Any]]:
    """Return each metric of both, `delta` (theirs less mine), and the interval that it lies in.

    `low` and `high` are the percentile interval of the paired bootstrap at 95 %: queries are drawn
    with replacement, each with its difference (Efron and Tibshirani 1993, chapter 13; of retrieval
    metrics, Sakai 2006). `differs` tells whether 0 is outside of it. With one query all three are
    `None`.
    """
    names = list(mine[0])
    pairs = np.array([[[row[name] for name in names] for row in each] for each in (theirs, mine)])
    gained = pairs[0] - pairs[1]
    low, high = _interval(gained) if len(gained) > 1 else (None, None)
    rows = []
    for place, name in enumerate(names):
        row = {
            "metric": name,
            "serving": float(pairs[1, :, place].mean()),
            "against": float(pairs[0, :, place].mean()),
            "delta": float(gained[:, place].mean()),
            "low": None,
            "high": None,
            "differs": None,
        }
        if low is not None and high is not None:
            least, most = float(low[place]), float(high[place])
            row |= {"low": least, "high": most, "differs": least > 0 or most < 0}
        rows.append(row)
    return rows


def _interval(gained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends, (metrics,) each, of differences (queries, metrics)."""
    random = np.random.default_rng(_SEED)
    count = len(gained)
    means = [gained[random.integers(0, count, count)].mean(axis=0) for _ in range(_RESAMPLES)]
    outside = (100 - CONFIDENCE) / 2
    low, high = np.percentile(means, [outside, 100 - outside], axis=0)
    return low, high

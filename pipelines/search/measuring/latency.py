"""How long answers take: by what is asked with, and step by step beside a budget."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipelines.search.asked.query import Query
from pipelines.search.engines.protocol import Allowed
from pipelines.search.measuring.evaluation import MEDIA, Judged, Labelled, ask
from pipelines.search.measuring.metrics import recall_at
from pipelines.search.searcher import Searcher

PERCENTILES = (50.0, 95.0, 99.0, 99.9)
SEVERAL = "several"
SLOWER = 0.2
"""Share by which a step may be slower than when it was measured last."""

_LEAST_MS = 0.5  # Growth by less is noise.
_ALL = "all"


class Stage(NamedTuple):
    """What several steps are for, and the ms that 95 of 100 queries may spend on them all."""

    name: str
    steps: tuple[str, ...]
    budget_ms: float | None


STAGES = (
    Stage("validation", ("normalise",), 8.0),
    Stage("classify", ("detect_modality",), 12.0),
    Stage("guess words", ("expand",), None),
    Stage("embed", ("encode",), 112.0),
    Stage("search", ("search", "union", "reword", "widen", "further"), 67.0),
    Stage("rerank", ("rerank",), 24.0),
    Stage("post", (), 10.0),
)
"""The steps of a query; those that no other stage names are of the last."""


class Timed(NamedTuple):
    """One query that was asked: what with, ms in all, and ms of each step."""

    asked: str
    ms: float
    steps: Mapping[str, float]


async def measure(
    searcher: Searcher, allowed: Allowed, queries: Sequence[Labelled], rounds: int = 1
) -> list[Timed]:
    """Ask each query `rounds` times, one after the other, for ten items, as applications do.

    Whatever has to be loaded first is loaded by an earlier round that is not counted.
    """
    timed = []
    for turn in range(rounds + 1):
        for labelled in queries if turn else _first_of_each(queries):
            asked = await ask(searcher, allowed, labelled, Query())
            last = asked.trace[-1]
            steps = {each.step: each.ms for each in asked.trace}
            timed.append(Timed(labelled.modality, last.at_ms + last.ms, steps))
        if not turn:
            timed.clear()
    return timed


def _first_of_each(queries: Sequence[Labelled]) -> Iterable[Labelled]:
    return {labelled.modality: labelled for labelled in queries}.values()


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that `share` of 100 do not exceed (nearest rank).

    `None` for fewer values than `least(share)`, of which none would lie above it.
    """
    if len(values) < least(share):
        return None
    return float(np.percentile(values, share, method="inverted_cdf"))


def least(share: float) -> int:
    """Return how many values a percentile takes: 20 for 95, 1000 for 99.9."""
    return math.ceil(round(100 / (100 - share), 6))


def by_asked(timed: Sequence[Timed], judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return percentiles of ms, and recall@10, for each medium asked with, and for several."""
    rows = []
    for name in (*MEDIA, SEVERAL):
        took = [each.ms for each in timed if _group(each.asked) == name]
        asked = [each for each in judged if _group(each.labelled.modality) == name]
        found = [recall_at(each.fused, each.relevant, 10) for each in asked]
        rows.append(
            {
                "asked": name,
                "queries": len(asked),
                "measured": len(took),
                **{f"p{share:g}": percentile(took, share) for share in PERCENTILES},
                "recall@10": math.fsum(found) / len(found) if found else None,
            }
        )
    return rows


def _group(modality: str) -> str:
    return SEVERAL if "+" in modality else modality


def by_step(
    timed: Sequence[Timed], before: Mapping[str, Mapping[str, float | None]]
) -> list[dict[str, Any]]:
    """Return p50 and p95 of each stage, beside its budget, and of each of its steps.

    `before` is what `step_times` made of these rows the last time. `slower` is the share by which
    p50 or p95 grew since, where that is more than `SLOWER` and half a millisecond; `within` tells
    whether p95 keeps the budget.
    """
    seen = list(dict.fromkeys(step for each in timed for step in each.steps))
    named = {step for stage in STAGES for step in stage.steps}
    rows = []
    for stage in STAGES:
        steps = stage.steps or tuple(step for step in seen if step not in named)
        if len(steps) == 1:
            rows.append(_row(stage.name, steps[0], steps, stage.budget_ms, timed, before))
        else:
            rows.append(_row(stage.name, _ALL, steps, stage.budget_ms, timed, before))
            rows += [_row(stage.name, step, (step,), None, timed, before) for step in steps]
    return rows


def stages(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those of `by_step`'s rows that are of a whole stage."""
    return list({row["stage"]: row for row in reversed(rows)}.values())[::-1]


def step_times(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Return what `by_step` takes as `before` the next time."""
    return {_key(row["stage"], row["step"]): {"p50": row["p50"], "p95": row["p95"]} for row in rows}


def _row(
    stage: str,
    step: str,
    steps: Sequence[str],
    budget: float | None,
    timed: Sequence[Timed],
    before: Mapping[str, Mapping[str, float | None]],
) -> dict[str, Any]:
    took = [math.fsum(each.steps.get(one, 0.0) for one in steps) for each in timed]
    p50, p95 = (percentile(took, share) for share in PERCENTILES[:2])
    past = before.get(_key(stage, step), {})
    before_p50, before_p95 = past.get("p50"), past.get("p95")
    grown = [
        now / then - 1
        for now, then in ((p50, before_p50), (p95, before_p95))
        if now is not None and then and now - then > max(SLOWER * then, _LEAST_MS)
    ]
    return {
        "stage": stage,
        "step": step,
        "p50": p50,
        "p95": p95,
        "budget": budget,
        "within": None if budget is None or p95 is None else p95 <= budget,
        "before_p50": before_p50,
        "before_p95": before_p95,
        "slower": max(grown, default=None),
    }


def _key(stage: str, step: str) -> str:
    return f"{stage}: {step}"

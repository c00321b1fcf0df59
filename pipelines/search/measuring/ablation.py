"""What each channel is worth: what fused answers lose without it, and what it takes to have it."""

import statistics
from collections.abc import Sequence
from typing import Any

from pipelines.channels import CHANNELS
from pipelines.pipeline import upstream
from pipelines.releases.manifest import Manifest
from pipelines.search.fusion.profiles import BM25, PROFILES
from pipelines.search.fusion.scores import fuse
from pipelines.search.measuring.evaluation import DEPTH, Judged
from pipelines.search.measuring.metrics import mean_metrics, ranking_metrics
from pipelines.steps.embed import EmbedStep, PassageStep
from pipelines.store import Store


def marginal(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return what each channel adds: how fused answers are without it, and what is lost then.

    `gain` and `recall_gain` are the losses in nDCG@10 and recall@10, negative where answers are
    better without it. `queries` is how many asked the channel, `ms` the median time that it took.
    Answers are fused as at first, before any re-ranking.
    """
    whole = _without(judged, None)
    rows = []
    for name in (*CHANNELS, BM25):
        took = [each.ms[name] for each in judged if name in each.found and name in each.ms]
        if not any(name in each.found for each in judged):
            continue
        less = _without(judged, name)
        rows.append(
            {
                "channel": name,
                "queries": sum(name in each.found for each in judged),
                "ndcg@10": whole["ndcg@10"],
                "without": less["ndcg@10"],
                "gain": whole["ndcg@10"] - less["ndcg@10"],
                "recall_gain": whole["recall@10"] - less["recall@10"],
                "ms": statistics.median(took) if took else None,
            }
        )
    return rows


def _without(judged: Sequence[Judged], channel: str | None) -> dict[str, float]:
    rows = []
    for each in judged:
        left = {
            item: {name: value for name, value in found.items() if name != channel}
            for item, found in each.evidence.items()
        }
        ranked = fuse(left, each.weights, PROFILES[each.profile])
        ids = [entry.item_id for entry in ranked][:DEPTH]
        rows.append(ranking_metrics(ids, each.relevant))
    return mean_metrics(rows)


def costs(store: Store, release: Manifest) -> list[dict[str, Any]]:
    """Return what each channel of a release took to make, from the table of costs.

    `seconds` are those of the channel's own rows together with those of steps that only it needs;
    `share` is their part of the seconds of all steps, which also do what several channels share.
    """
    spent: dict[str, float] = {}
    for row in store.costs.rows(["step", "seconds"]):
        spent[row["step"]] = spent.get(row["step"], 0.0) + row["seconds"]
    made = {name: EmbedStep.name_of(CHANNELS[name]) for name in release.channels}
    made |= {BM25: PassageStep.name} if release.passages else {}
    needs = {name: {step, *upstream(step)} for name, step in made.items()}
    total = sum(spent.values())
    rows: list[dict[str, Any]] = []
    for name, steps in needs.items():
        others = set[str]().union(*(needs[other] for other in needs if other != name))
        seconds = sum(spent.get(step, 0.0) for step in steps - others)
        items = release.channels[name].items if name in release.channels else None
        rows.append(
            {
                "channel": name,
                "rows": _rows(release, name),
                "seconds": seconds,
                "seconds_per_item": seconds / items if items else None,
                "share": seconds / total if total else None,
            }
        )
    if total:
        shared = total - sum(row["seconds"] for row in rows)
        rows.append({"channel": "shared", "seconds": shared, "share": shared / total})
    return rows


def _rows(release: Manifest, name: str) -> int:
    version = release.channels.get(name) or release.passages
    return version.rows if version else 0

"""How good answers are by medium: what is asked with, and what is to be found."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.search.measuring.evaluation import MEDIA, Judged, fused_metrics, medium_of
from pipelines.search.measuring.metrics import mean_metrics

CROSS = (("text", "image"), ("image", "text"), ("audio", "text"), ("video", "text"))
"""What is asked with and what is found, of the pairs that every table of them names."""


def by_modality(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return mean metrics by what is asked with and by the kind of what is to be found."""
    groups = defaultdict(list)
    for each in judged:
        groups[each.labelled.modality, each.kind].append(each)
    return [
        {"asked": asked, "found": found, "queries": len(group), **fused_metrics(group)}
        for (asked, found), group in sorted(groups.items())
    ]


def by_found(judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """Return mean metrics, and `queries`, by the medium of what is to be found."""
    groups = defaultdict(list)
    for each in judged:
        groups[medium_of(each.kind)].append(each)
    return {
        medium: {"queries": len(groups[medium]), **fused_metrics(groups[medium])}
        for medium in MEDIA
        if medium in groups
    }


def across(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return nDCG@10 and MRR of each medium asked with and found, the pairs of `CROSS` first.

    As is usual across media, a query ranks the items of one medium, so that a picture does not
    find itself before the text that it is to find; a query may count for several media. Metrics of
    a pair without queries are `None`. The queries must have been judged `within` media.
    """
    groups: dict[tuple[str, str], list[Mapping[str, float]]] = {pair: [] for pair in CROSS}
    for each in judged:
        for medium, metrics in each.within.items():
            groups.setdefault((each.labelled.modality, medium), []).append(metrics)
    rows = []
    for (asked, found), scores in groups.items():
        means = mean_metrics(scores) if scores else {}
        rows.append(
            {
                "asked": asked,
                "found": found,
                "queries": len(scores),
                "ndcg@10": means.get("ndcg@10"),
                "mrr": means.get("mrr"),
            }
        )
    return rows

"""How good answers are on labelled queries, what each channel adds to them, and learning of it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import AsJson, Home, open_home, print_json, say, table

_SHOWN = ("queries", "recall@10", "precision@1", "mrr", "ndcg@5", "ndcg@10")


def evaluate(
    queries: Path,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Tell what each channel adds, and what it costs.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Score the serving release on labelled queries (JSON lines), fused and channel by channel."""
    import asyncio

    from pipelines.search.measuring.ablation import costs, marginal
    from pipelines.search.measuring.evaluation import (
        by_modality,
        judge_serving,
        read_queries,
        report,
    )

    settings, store = open_home(home)
    release, judged = asyncio.run(judge_serving(store, read_queries(queries), settings))
    scores = report(release, judged)
    if ablation:
        scores["ablation"] = {"channels": marginal(judged), "costs": costs(store, release)}
    if as_json:
        print_json(scores)
        return
    named = {"fused": scores["fused"], **scores["channels"]}
    rows = [
        {"metric": metric, **{name: f"{values[metric]:.3f}" for name, values in named.items()}}
        for metric in scores["fused"]
    ]
    table(f"{scores['queries']} queries, release {scores['release']}", tuple(rows[0]), rows)
    table("By what is asked with", ("asked", "found", *_SHOWN), _short(by_modality(judged)))
    if ablation:
        for title, parts in _ABLATION.items():
            rows = scores["ablation"][title]
            table(parts, tuple(rows[0]), _short(rows))


_ABLATION = {
    "channels": "Fused nDCG@10 without each channel, and what that loses",
    "costs": "Seconds that each channel took, with the steps that only it needs",
}


def learn(queries: Path, home: Home = None, as_json: AsJson = False) -> None:
    """Learn scales and weights of channels from labelled queries, for the next release."""
    import asyncio

    from pipelines.releases.tuned import write_learned
    from pipelines.search.fusion import learning
    from pipelines.search.measuring.evaluation import judge_serving, read_queries

    settings, store = open_home(home)
    asking = judge_serving(store, read_queries(queries), settings, learned=False)
    _, judged = asyncio.run(asking)
    lesson = learning.learn(judged)
    write_learned(store, lesson.learned)
    if as_json:
        print_json(lesson.as_document())
        return
    if lesson.scores:
        table("Means over queries", tuple(lesson.scores[0]), _short(lesson.scores))
    if lesson.scales:
        title = "Expected calibration error on held-out queries"
        table(title, tuple(lesson.scales[0]), _short(lesson.scales))
    used = "is used from the next release on" if lesson.learned else "the defaults stay"
    say(f"{used}: {lesson.reason}")


def _short(rows: Any) -> list[dict[str, Any]]:
    return [
        {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]

"""How good and how fast answers to labelled queries are, and what makes them so."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import AsJson, Home, open_home, print_json, say, short, table

_SHOWN = ("queries", "recall@10", "recall@100", "precision@1", "mrr", "ndcg@5", "ndcg@10")
_TITLES = {
    "media": "By what is asked with, among all items",
    "found": "By what is to be found (floors of the policy)",
    "across": "Across media, among items of the medium",
    "strategies": "Strategies of fusion, ms once words are there",
    "asked": "Latency, ms, by what is asked with",
    "steps": "Latency, ms, by step; a budget is for p95",
}


def evaluate(
    queries: Path,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Tell what each channel adds, and what it costs.")
    ] = False,
    strategies: Annotated[
        bool, typer.Option("--strategies", help="Compare early, late, cross and hybrid fusion.")
    ] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Time queries and steps; kept, to compare with.")
    ] = False,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often --latency asks each query: tails take many.")
    ] = 1,
    against: Annotated[
        str, typer.Option(metavar="PROFILE_OR_RELEASE", help="Tell what it does better or worse.")
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Score the serving release on labelled queries (JSON lines), fused and channel by channel."""
    import asyncio

    from pipelines.search.measuring.evaluation import read_queries
    from pipelines.search.measuring.measurement import Wanted, measured

    settings, store = open_home(home)
    wanted = Wanted(ablation, strategies, rounds if latency else 0, against)
    scores = asyncio.run(measured(store, settings, read_queries(queries), wanted))
    if as_json:
        print_json(scores)
        return
    named = {"fused": scores["fused"], **scores["channels"]}
    rows = [
        {"metric": metric, **{name: f"{values[metric]:.3f}" for name, values in named.items()}}
        for metric in scores["fused"]
    ]
    deep = {name: f"{value:.3f}" for name, value in scores["recall@100"].items()}
    rows.append({"metric": "recall@100", **deep})
    table(f"{scores['queries']} queries, release {scores['release']}", tuple(rows[0]), rows)
    table(_TITLES["media"], ("asked", "found", *_SHOWN), short(scores["media"]))
    found = [{"found": name, **means} for name, means in scores["found"].items()]
    table(_TITLES["found"], ("found", *_SHOWN), short(found))
    table(_TITLES["across"], tuple(scores["across"][0]), short(scores["across"]))
    if ablation:
        for title, parts in _ABLATION.items():
            rows = scores["ablation"][title]
            table(parts, tuple(rows[0]), short(rows))
    if strategies:
        rows = scores["strategies"]
        table(_TITLES["strategies"], tuple(rows[0]), short(rows))
    if against:
        title = f"What {against} gains, with the 95 % interval of a paired bootstrap"
        table(title, tuple(scores["against"][0]), short(scores["against"]))
    if latency:
        _say_latency(scores["latency"])


def _say_latency(latency: dict[str, Any]) -> None:
    from pipelines.search.measuring.latency import PERCENTILES, least

    for name in ("asked", "steps"):
        table(_TITLES[name], tuple(latency[name][0]), latency[name])
    needed = ", ".join(f"p{share:g} takes {least(share)}" for share in PERCENTILES)
    say(f"– stands where too few were measured: {needed}; more with --rounds")
    for row in latency["steps"]:
        if row["slower"]:
            step = f"{row['stage']}, {row['step']}"
            say(f"slower: {step} by {100 * row['slower']:.0f} % since {latency['before']}")


_ABLATION = {
    "channels": "Fused nDCG@10 without each channel, and what that loses",
    "costs": "Seconds that each channel took, with the steps that only it needs",
}

"""How good and how fast search is: measured on labelled queries, as tables, a plot and numbers."""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from assets.common import OWNERS
from assets.reporting import markdown_table
from pipelines.releases.policy import FILE, read_policy
from pipelines.search.measuring.evaluation import read_queries
from pipelines.search.measuring.latency import stages
from pipelines.search.measuring.measurement import Wanted, measured
from pipelines.search.measuring.picture import draw
from resources.home import HomeResource

_SHOWN = ("ndcg@5", "ndcg@10", "mrr", "precision@1", "recall@10")
_NO_QUERIES = f"""Nothing was measured: no labelled queries are given. Write some, one a line:

```json
{{"query": "storm umbrella", "relevant": {{"umbrella.jpg": 2, "bag.jpg": 1}}}}
{{"query": null, "image": "photo.jpg", "relevant": {{"manual.pdf": 1}}}}
```

and name them in `{FILE}` in the home, by a path relative to it:

```toml
[evaluation]
queries = "queries.jsonl"
```
"""
_TITLES = {
    "across": "Across media, each among the items of the medium that is to be found",
    "media": "By what is asked with and found, among all items",
    "strategies": "Ways to bring channels together",
    "asked": "Latency (ms) by what is asked with",
    "steps": "Latency (ms) by step",
}


class MeasuringConfig(dg.Config):
    """What a run of measuring may take."""

    rounds: int = Field(1, ge=1, description="How often each query is timed: tails take many.")


@dg.asset(
    group_name="publish",
    kinds={"lancedb"},
    owners=OWNERS,
    deps=["release"],
    code_version="1",
    description="What serves, measured on the labelled queries that the policy names: metrics by "
    "medium, four fusion strategies, latency by what is asked with and by step, beside the last "
    "time. Times are true while nothing else runs.",
)
def search_quality(home: HomeResource, config: MeasuringConfig) -> dg.MaterializeResult:
    """Ask, time, and show; says how to give queries where there are none."""
    store, settings = home.store(), home.settings()
    named = read_policy(settings).evaluation.queries
    if not named:
        shown: dict[str, Any] = {"queries": 0, "report": dg.MetadataValue.md(_NO_QUERIES)}
        return dg.MaterializeResult(metadata=shown)
    wanted = Wanted(strategies=True, rounds=config.rounds)
    queries = read_queries(settings.home / named)
    return dg.MaterializeResult(
        metadata=_metadata(asyncio.run(measured(store, settings, queries, wanted)))
    )


def _metadata(told: Mapping[str, Any]) -> dict[str, Any]:
    latency = told["latency"]
    numbers = {_name(metric): told["fused"][metric] for metric in _SHOWN}
    numbers["recall_100"] = told["recall@100"]["fused"]
    numbers |= {f"ndcg_10_{found}": row["ndcg@10"] for found, row in told["found"].items()}
    times = {row["asked"]: row for row in latency["asked"]}
    times |= {row["stage"].replace(" ", "_"): row for row in stages(latency["steps"])}
    for share in ("p50", "p95"):
        numbers |= {f"{share}_ms_{name}": row[share] for name, row in times.items()}
    return {
        "queries": told["queries"],
        "labelled": told["labelled"],
        "search_release": told["release"],
        "slower": sum(row["slower"] is not None for row in latency["steps"]),
        **{name: round(value, 4) for name, value in numbers.items() if value is not None},
        "report": dg.MetadataValue.md(_report(told)),
    }


def _name(metric: str) -> str:
    return metric.replace("@", "_")


def _report(told: Mapping[str, Any]) -> str:
    picture = base64.b64encode(draw(told)).decode()
    tables = {**told, **told["latency"]}
    parts = [f"![latency and quality](data:image/png;base64,{picture})"]
    parts += [f"**{title}**\n\n{markdown_table(tables[name])}" for name, title in _TITLES.items()]
    return "\n\n".join(parts)

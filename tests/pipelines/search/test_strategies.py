"""Ways to bring channels together side by side, and another profile or release beside this one."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import toy

from pipelines.errors import BadInput
from pipelines.models import factory
from pipelines.releases.log import require
from pipelines.releases.publish import publish
from pipelines.search.asked.query import Query
from pipelines.search.measuring.against import against, deltas
from pipelines.search.measuring.evaluation import judge, read_queries, serving
from pipelines.search.measuring.strategies import (
    Strategy,
    best_alone,
    compare,
    fusion_strategies,
    strategies,
)
from pipelines.settings import Settings
from pipelines.store import Store


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    toy.use(monkeypatch)
    monkeypatch.setattr(factory, "image_encoder", toy.Toy)
    (tmp_path / "policy.toml").write_text('gates = ["identities"]\n')
    return Settings(home=tmp_path, refuse_nonsense=False)


def home(settings: Settings) -> Store:
    """Ten pictures; a text finds the picture of its number, in which it can be read as well."""
    store = Store(settings.root)
    toy.put_all(store, "image", range(10), "visual", "ocr")
    publish(store, {name: toy.CHOICES["visual"] for name in ("visual", "ocr")}, settings)
    rows = [{"query": str(n), "relevant": {f"image-{n}": 1}} for n in range(4)]
    (settings.home / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return store


async def _ask(query: Query) -> Any:
    if query.reranker == "cross_encoder":
        raise BadInput("nothing to ask with")
    slow = query.reranker == "lexical"
    await asyncio.sleep(0.02 if slow else 0.0)
    order = ["b", "a"] if slow else ["a", "b"]
    return SimpleNamespace(ranked=[SimpleNamespace(item_id=item) for item in order])


def test_ways_to_ask_are_compared_query_by_query() -> None:
    ways = [
        Strategy("late", lambda query: query),
        Strategy("hybrid", lambda query: replace(query, reranker="lexical")),
        Strategy("none", lambda query: replace(query, reranker="cross_encoder")),
    ]
    queries = [(Query("one"), {"b": 1.0}), (Query("two"), {"b": 2.0})]
    late, hybrid, none = asyncio.run(compare(_ask, ways, queries))
    assert [row["strategy"] for row in (late, hybrid, none)] == ["late", "hybrid", "none"]
    assert late["ndcg@10"] < hybrid["ndcg@10"] == hybrid["mrr"] == 1.0
    assert late["added_ms"] == 0.0 and hybrid["added_ms"] > 10
    assert (none["unanswered"], none["recall@10"], late["unanswered"]) == (2, 0.0, 0)
    assert none["p50_ms"] is None and none["added_ms"] is None, "what has no time is not 0 ms"


def test_each_strategy_asks_what_it_says() -> None:
    alone, early, late, cross, hybrid = (
        (each.name, each.of(Query("a", profile="hybrid")))
        for each in fusion_strategies("ocr", "lexical")
    )
    assert alone[0] == "ocr alone" and alone[1].channels == ("ocr",)
    assert early[1].profile == "mean_vector" and "bm25" not in early[1].channels
    assert (late[1].profile, late[1].channels, late[1].reranker) == ("default", (), "none")
    assert (cross[1].channels, cross[1].reranker) == (("ocr",), "lexical")
    assert (hybrid[1].channels, hybrid[1].reranker) == ((), "lexical")


def test_five_rows_are_measured_on_a_real_index(settings: Settings) -> None:
    store = home(settings)

    async def measured() -> Any:
        searcher, allowed = await serving(store, settings)
        judged = await judge(searcher, allowed, read_queries(settings.home / "q.jsonl"))
        return best_alone(judged), await strategies(searcher, allowed, judged)

    best, rows = asyncio.run(measured())
    names = [row["strategy"] for row in rows]
    assert names == [f"{best} alone", "early", "late", "cross", "hybrid"]
    assert best in ("visual", "ocr", "bm25")
    assert all(row["ndcg@10"] == 1.0 and row["unanswered"] == 0 for row in rows)
    assert rows[0]["added_ms"] == 0.0 and all(row["p50_ms"] > 0 for row in rows)


def test_another_profile_and_another_release_are_compared(settings: Settings) -> None:
    store = home(settings)
    first = require(store).release
    table = store.channel("visual", toy.MODEL)
    # Two pictures show something else now, and say it as well.
    wrong = [toy.row(f"image-{n}", "meta", n + 50, kind="image") for n in (0, 1)]
    table.upsert(wrong)
    store.channel("ocr", toy.MODEL).upsert(wrong)
    store.passages.remove(["image-0#meta", "image-1#meta"])
    publish(store, {name: toy.CHOICES["visual"] for name in ("visual", "ocr")}, settings)

    async def measured(name: str) -> Any:
        searcher, allowed = await serving(store, settings)
        judged = await judge(searcher, allowed, read_queries(settings.home / "q.jsonl"))
        return {row["metric"]: row for row in await against(searcher, allowed, judged, name)}

    rows = asyncio.run(measured(first))
    best = rows["precision@1"]
    assert best["against"] == 1.0 and best["delta"] == 1.0 - best["serving"] > 0
    assert rows["ndcg@10"]["high"] >= rows["ndcg@10"]["delta"] > 0
    same = asyncio.run(measured("default"))
    assert all((row["delta"], row["differs"]) == (0.0, False) for row in same.values())
    assert {"ndcg@5", "ndcg@10", "mrr", "precision@1", "recall@100"} <= same.keys()
    with pytest.raises(BadInput, match=r"luck is neither a profile nor a release; there are .*r0"):
        asyncio.run(measured("luck"))


def test_the_interval_is_that_of_a_paired_bootstrap() -> None:
    random = np.random.default_rng(3)
    base = random.uniform(0, 0.5, 60)
    gain = 0.1 + 0.05 * random.normal(size=60)
    mine = [{"m": value, "n": value} for value in base]
    theirs = [
        {"m": value + more, "n": value + more - 0.1} for value, more in zip(base, gain, strict=True)
    ]
    m, n = deltas(mine, theirs)
    assert m["delta"] == pytest.approx(gain.mean()) and m["differs"] and not n["differs"]
    # Pairing leaves the spread of the gains, which is far below that of the queries.
    half = 1.96 * gain.std() / np.sqrt(60)
    assert m["low"] == pytest.approx(gain.mean() - half, abs=0.2 * half)
    assert m["high"] == pytest.approx(gain.mean() + half, abs=0.2 * half)
    assert deltas(mine, theirs) == [m, n], "drawn alike each time"
    (one,) = deltas([{"m": 0.5}], [{"m": 1.0}])
    assert (one["delta"], one["low"], one["differs"]) == (0.5, None, None)

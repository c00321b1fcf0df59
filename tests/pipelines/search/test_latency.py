"""Latency by what is asked with and by step, what is kept of it, and quality by medium."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import toy
from PIL import Image
from test_ablation import judged

from pipelines.models import factory
from pipelines.releases.publish import publish
from pipelines.search.measuring import measurement
from pipelines.search.measuring.evaluation import read_queries
from pipelines.search.measuring.latency import (
    Timed,
    by_asked,
    by_step,
    least,
    percentile,
    step_times,
)
from pipelines.search.measuring.measurement import Wanted, measured, measurements
from pipelines.search.measuring.media import across, by_found, by_modality
from pipelines.settings import Settings
from pipelines.store import Store

SAMPLES = Path(__file__).parents[3] / "samples"


def test_percentiles_are_values_that_were_seen_or_nothing() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (50, 95, 99)] == [50.0, 95.0, 99.0]
    assert percentile(values, 99.9) is None and percentile(values[:19], 95) is None
    assert [least(share) for share in (50, 95, 99, 99.9)] == [2, 20, 100, 1000]
    assert percentile([*values] * 10, 99.9) == 100.0 and percentile([], 50) is None


def timed(count: int, **steps: float) -> list[Timed]:
    return [Timed("text", sum(steps.values()), steps)] * count


def test_there_are_five_rows_and_none_says_what_was_not_measured() -> None:
    sound = {"text": None, "files": {"audio": Path("a.wav")}}
    asked = [
        judged({"a": {"visual": 0.9}}, "a"),
        judged({"a": {"audio": 0.9}}, "b", "audio", **sound),
        judged({"a": {"visual": 0.9}}, "a", files={"image": Path("a.png")}),
    ]
    took = [*timed(20, search=3.0), *[Timed("text+image", 9.0, {})] * 2]
    rows = {row["asked"]: row for row in by_asked(took, asked)}
    assert list(rows) == ["text", "image", "audio", "video", "several"]
    assert (rows["text"]["p50"], rows["text"]["p95"], rows["text"]["p99"]) == (3.0, 3.0, None)
    assert rows["several"]["p50"] == 9.0 and rows["several"]["recall@10"] == 1.0
    assert rows["audio"]["p50"] is None and rows["audio"]["recall@10"] == 0.0
    assert rows["video"]["queries"] == 0 and rows["video"]["recall@10"] is None


def test_steps_stand_beside_their_budget_and_slower_ones_are_flagged() -> None:
    before = by_step(timed(20, normalise=0.1, encode=10.0, search=20.0, fuse=4.0, taste=1.0), {})
    rows = {(row["stage"], row["step"]): row for row in before}
    assert rows["post", "all"]["p50"] == 5.0 and rows["post", "taste"]["p95"] == 1.0
    assert rows["embed", "encode"]["budget"] == 112.0 and rows["embed", "encode"]["within"]
    assert all(row["slower"] is None and row["before_p50"] is None for row in before)

    now = timed(20, normalise=0.4, encode=11.9, search=26.0, fuse=9.9, taste=1.0)
    rows = {(row["stage"], row["step"]): row for row in by_step(now, step_times(before))}
    assert rows["search", "search"]["slower"] == pytest.approx(0.3)
    assert rows["search", "search"]["before_p95"] == 20.0
    assert rows["post", "all"]["slower"] and rows["post", "all"]["within"] is False
    assert rows["embed", "encode"]["slower"] is None, "19 % is not above a fifth"
    assert rows["validation", "normalise"]["slower"] is None, "a third of a millisecond is noise"


def test_metrics_are_told_by_what_is_asked_and_found() -> None:
    sound = {"text": None, "files": {"audio": Path("a.wav")}}
    answered = [
        judged({"a": {"visual": 0.9}, "b": {"visual": 0.1}}, "a"),
        judged({"a": {"visual": 0.9}, "b": {"visual": 0.1}}, "b", "document"),
        judged({"a": {"audio": 0.9}}, "a", "audio", **sound),
    ]
    told = [(row["asked"], row["found"], row["mrr"]) for row in by_modality(answered)]
    assert told == [("audio", "audio", 1.0), ("text", "document", 0.5), ("text", "image", 1.0)]
    found = by_found(answered)
    assert list(found) == ["text", "image", "audio"] and found["text"]["mrr"] == 0.5
    rows = across(answered)
    assert [(row["asked"], row["found"]) for row in rows] == [
        ("text", "image"),
        ("image", "text"),
        ("audio", "text"),
        ("video", "text"),
    ]
    assert all(row["ndcg@10"] is None and row["queries"] == 0 for row in rows)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    toy.use(monkeypatch)
    monkeypatch.setattr(factory, "image_encoder", toy.Toy)
    (tmp_path / "policy.toml").write_text('gates = ["identities"]\n')
    return Settings(home=tmp_path, refuse_nonsense=False, read_images=False)


def fill(settings: Settings) -> Store:
    """Pictures and texts of the same numbers, of which a query of either kind finds both."""
    store = Store(settings.root)
    toy.put_all(store, "image", range(6), "visual")
    toy.put_all(store, "text", range(6), "ocr")
    toy.put_all(store, "document", range(6, 8), "ocr")
    publish(store, {name: toy.CHOICES["visual"] for name in ("visual", "ocr")}, settings)
    toy.picture(3).save(settings.home / "three.png")
    rows: list[dict[str, Any]] = [
        {"query": str(n), "relevant": {f"image-{n}": 1, f"text-{n}": 1}} for n in range(4)
    ]
    rows.append({"query": None, "image": "three.png", "relevant": {"text-3": 1}})
    rows.append({"query": "7", "relevant": {"document-7": 2}})
    (settings.home / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return store


def test_one_measurement_holds_everything_and_is_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, queries = fill(settings), read_queries(settings.home / "q.jsonl")
    told = asyncio.run(measured(store, settings, queries, Wanted(rounds=4)))
    rows = {(row["asked"], row["found"]): row for row in told["across"]}
    assert rows["text", "image"]["queries"] == 4 and rows["image", "text"]["mrr"] == 1.0
    assert rows["text", "text"]["queries"] == 5, "a document is text to be found"
    assert rows["audio", "text"]["ndcg@10"] is None
    # Among all items the picture is nearer to itself than the text that it is to find.
    alone = {(row["asked"], row["found"]): row for row in told["media"]}
    assert alone["image", "text"]["mrr"] <= rows["image", "text"]["mrr"]

    asked = {row["asked"]: row for row in told["latency"]["asked"]}
    assert (asked["text"]["queries"], asked["text"]["measured"]) == (5, 20)
    assert asked["text"]["p95"] >= asked["text"]["p50"] > 0 and asked["text"]["p99"] is None
    steps = {row["step"]: row for row in told["latency"]["steps"]}
    assert {"normalise", "encode", "search", "fuse", "rerank", "explain"} <= steps.keys()
    assert steps["encode"]["p50"] > 0 and steps["encode"]["budget"] == 112.0

    kept = measurements(store)
    assert len(kept) == 1 and kept[0].labelled == told["labelled"]
    assert told["latency"]["before"] is None
    monkeypatch.setattr(measurement, "_KEPT", 2)
    for _ in range(2):
        again = asyncio.run(measured(store, settings, queries, Wanted(rounds=4)))
    assert len(measurements(store)) == 2
    before = {row["step"]: row["before_p50"] for row in again["latency"]["steps"]}
    assert before["encode"] == pytest.approx(measurements(store)[0].steps["embed: encode"]["p50"])
    other = asyncio.run(measured(store, settings, queries[:5], Wanted(rounds=1)))
    assert other["latency"]["before"] is None, "other queries do not compare"


def test_a_measurement_is_drawn(settings: Settings) -> None:
    import io

    from pipelines.search.measuring.picture import draw

    store, queries = fill(settings), read_queries(settings.home / "q.jsonl")
    told = asyncio.run(measured(store, settings, queries, Wanted(rounds=1)))
    with Image.open(io.BytesIO(draw(told))) as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
        assert len(picture.getcolors() or []) > 4, "something is drawn"


def test_the_samples_have_queries_across_media() -> None:
    queries = read_queries(SAMPLES / "queries_across.jsonl")
    assert {each.modality for each in queries} == {"text", "image", "audio", "video", "text+image"}
    for each in queries:
        assert all(path.is_file() for path in each.files.values())
        assert all((SAMPLES / name).is_file() for name in each.relevant)
        assert max(each.relevant.values()) == 2

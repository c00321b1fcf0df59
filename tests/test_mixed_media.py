"""Photos, receipts, speech and films in one home: all channels together find what the best does."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from labelled import in_media, in_words
from running import mediadex, needs_media

from pipelines.search.fusion.learning import learn
from pipelines.search.measuring.ablation import costs, marginal
from pipelines.search.measuring.evaluation import judge_serving, read_queries, report
from pipelines.settings import Settings
from pipelines.store import Store

pytestmark = pytest.mark.slow

_CLOTHES = 5  # one in so many


def mixed(folder: Path) -> Path:
    """Collect what is quick to index: without recordings of a minute and films of numbers."""
    media = needs_media("photos").parent
    for name in ("photos/coco", "documents", "speech", "video/datachain"):
        shutil.copytree(media / name, folder / name)
    clothes = sorted((media / "photos" / "clothing").glob("*.jpg"))[::_CLOTHES]
    films = [
        media / "video" / "pixeltable" / f"{name}_half_res.mp4"
        for name in ("bangkok", "spaces_and_quote")
    ]
    for path in (*clothes, *films):
        copy = folder / path.relative_to(media)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path)
    return media


def test_fused_answers_are_as_good_as_the_best_channel(tmp_path: Path) -> None:
    raw, home = tmp_path / "raw", tmp_path / "home"
    media = mixed(raw)
    mediadex(home, "index", str(raw))
    there = {path.name for path in raw.rglob("*.*")}
    asked = [*in_words(media), *in_media(media, tmp_path / "asked", every=12)]
    rows = [_present(row, there) for row in asked]
    queries = tmp_path / "queries.jsonl"
    queries.write_text("\n".join(json.dumps(row) for row in rows if row["relevant"]))
    measure(home, queries)


def measure(home: Path, queries: Path) -> None:
    settings = Settings(home=home)
    store = Store(settings.root)
    asking = judge_serving(store, read_queries(queries), settings)
    release, judged = asyncio.run(asking)
    scores = report(release, judged)
    assert scores["queries"] > 180
    for metric in ("recall@10", "ndcg@10"):
        best = max(
            channel[metric] for name, channel in scores["channels"].items() if name != "audio"
        )
        assert scores["fused"][metric] >= max(best, 0.75)
    looking = [each for each in judged if each.labelled.segment == "photo"]
    photos = report(release, looking)
    assert photos["fused"]["recall@10"] >= photos["channels"]["visual"]["recall@10"] - 0.02

    gains = {row["channel"]: row["gain"] for row in marginal(judged)}
    assert gains["visual"] > 0.1 and gains["bm25"] > 0.02
    spent = costs(store, release)
    assert sum(row["share"] for row in spent) == pytest.approx(1.0)
    assert all(row["seconds"] > 0 for row in spent)

    lesson = learn(judged)
    before, after = (row for row in lesson.scores if row["half"] == "held out")
    better = after["ndcg@10"] > before["ndcg@10"] and after["recall@10"] >= before["recall@10"]
    assert (lesson.learned is not None) == better
    scales = {row["scale"]: row for row in lesson.scales}
    for name in ("visual", "caption"):
        assert scales[name]["after"] < 0.01 < scales[name]["before"]


def _present(row: Mapping[str, Any], there: set[str]) -> dict[str, Any]:
    relevant = {name: 1 for name in row["relevant"] if Path(name).name in there}
    return {**row, "relevant": relevant}

"""What a channel is worth: the loss without it, and its cost."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.releases.manifest import ChannelVersion, Manifest, PassageVersion
from pipelines.search.fusion.profiles import weights
from pipelines.search.measuring.ablation import costs, marginal
from pipelines.search.measuring.evaluation import Judged, Labelled, report
from pipelines.store import Store


def judged(
    evidence: Mapping[str, Mapping[str, float]], wanted: str, kind: str = "image", **asked: Any
) -> Judged:
    names = {name for found in evidence.values() for name in found}
    found = {
        name: {item: has[name] for item, has in evidence.items() if name in has} for name in names
    }
    return Judged(
        labelled=Labelled(**({"text": "a", "files": {}, "relevant": {}, "segment": None} | asked)),
        relevant={wanted: 1.0},
        kind=kind,
        profile="default",
        fused=sorted(evidence),
        found=found,
        raw=found,
        mediums=dict.fromkeys(names, "text"),
        ms=dict.fromkeys(names, 2.0),
        evidence=evidence,
        weights=weights(),
        trust={},
    )


def manifest(**channels: int) -> Manifest:
    return Manifest(
        release="r000001",
        created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        items=4,
        facts={},
        channels={
            name: ChannelVersion(
                table=name,
                version=1,
                rows=2 * items,
                items=items,
                spec="",
                identity={},
                indexed=False,
            )
            for name, items in channels.items()
        },
        passages=PassageVersion(table="passages", version=1, rows=7),
    )


def test_the_gain_of_a_channel_is_what_is_lost_without_it() -> None:
    # Only its look finds the one, only what is read in it the other; captions mislead a little.
    looks = judged(
        {"a": {"visual": 0.9, "caption": 0.0}, "b": {"visual": 0.1, "caption": 0.1}}, "a"
    )
    reads = judged({"a": {"visual": 0.1, "ocr": 0.1}, "b": {"visual": 0.1, "ocr": 0.9}}, "b")
    rows = {row["channel"]: row for row in marginal([looks, reads])}
    assert list(rows) == ["visual", "caption", "ocr"]
    second = 1 / 1.584962500721156  # 1 / log2(3): found at rank 2
    assert rows["visual"]["ndcg@10"] == 1.0
    assert rows["visual"]["gain"] == pytest.approx((1 - second) / 2)
    # Without what is read, both look the same, and "a" comes first.
    assert rows["ocr"]["without"] == pytest.approx((1 + second) / 2)
    assert rows["caption"]["gain"] == 0.0
    assert rows["visual"]["recall_gain"] == 0.0
    assert (rows["visual"]["queries"], rows["ocr"]["queries"], rows["ocr"]["ms"]) == (2, 1, 2.0)


def test_an_item_that_only_one_channel_finds_is_lost_without_it() -> None:
    only = judged({"a": {"transcript": 0.9}, "b": {"visual": 0.5}}, "a", "audio")
    rows = {row["channel"]: row for row in marginal([only])}
    assert rows["transcript"]["recall_gain"] == rows["transcript"]["gain"] == 1.0


def test_the_report_has_the_keys_of_the_contract() -> None:
    answered = judged({"a": {"visual": 0.9, "bm25": 0.0}, "b": {"visual": 0.1, "bm25": 0.5}}, "a")
    document = report(manifest(visual=2), [answered])
    assert list(document) == ["release", "queries", "fused", "channels", "recall@100"]
    promised = {"hit@10", "recall@10", "precision@1", "mrr", "map", "ndcg@5", "ndcg@10"}
    assert document["fused"].keys() == promised == document["channels"]["visual"].keys()
    assert document["recall@100"] == {"fused": 1.0, "visual": 1.0, "bm25": 1.0}
    assert list(document["channels"]) == ["visual", "bm25"]
    assert document["channels"]["visual"]["mrr"] == 1.0
    assert document["channels"]["bm25"]["mrr"] == 0.5


def test_a_channel_costs_its_own_step_and_those_that_only_it_needs(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    spent = {"redacted_media": 6.0, "captions": 3.0, "visual_embeddings": 1.0, "passages": 0.5}
    spent["caption_embeddings"] = 0.5
    store.costs.append(
        [
            {
                "step": step,
                "batch": "b",
                "model": "m",
                "device": "cpu",
                "rows": 2,
                "characters": 0,
                "seconds": seconds / 2,
                "at": at,
            }
            for step, seconds in spent.items()
            for _ in range(2)
        ]
    )
    rows = {row["channel"]: row for row in costs(store, manifest(visual=2, caption=4))}
    assert rows["visual"]["seconds"] == 1.0 and rows["visual"]["seconds_per_item"] == 0.5
    assert rows["caption"]["seconds"] == 3.5 and rows["caption"]["rows"] == 8
    assert rows["bm25"]["seconds"] == 0.5 and rows["bm25"]["rows"] == 7
    assert rows["shared"]["seconds"] == 6.0
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1.0)


def test_a_release_without_costs_has_no_shares(tmp_path: Path) -> None:
    rows = costs(Store(str(tmp_path)), manifest(visual=2))
    assert {row["channel"] for row in rows} == {"visual", "bm25"}
    assert all(row["seconds"] == 0 and row["share"] is None for row in rows)

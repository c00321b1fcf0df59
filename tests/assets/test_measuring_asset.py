"""Measuring search as an asset: what a run shows, and what it says without labelled queries."""

import base64
import io
import json
from collections.abc import Callable, Iterator

import pytest
import toy
from homes import Home
from PIL import Image

from pipelines.releases.publish import publish
from pipelines.search.measuring.measurement import measurements

POLICY = 'gates = ["identities"]\n'


@pytest.fixture(scope="module")
def home(open_home: Callable[..., Home]) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        patch.setenv("MEDIADEX_REFUSE_NONSENSE", "false")
        home = open_home()
        (home.path / "policy.toml").write_text(POLICY)
        toy.put_all(home.store, "image", range(8), "visual")
        publish(home.store, toy.CHOICES, home.settings)
        yield home


def shown(home: Home) -> dict:
    config = {"search_quality": {"rounds": 5}}
    result = home.run("search_quality", config=config, strict=True)
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_without_labelled_queries_a_run_says_how_to_give_some(home: Home) -> None:
    told = shown(home)
    assert told["queries"] == 0 and measurements(home.store) == []
    assert 'queries = "queries.jsonl"' in told["report"] and '"relevant"' in told["report"]


def test_a_run_shows_plot_tables_and_numbers(home: Home) -> None:
    rows = [{"query": str(n), "relevant": {f"image-{n}": 1}} for n in range(4)]
    (home.path / "queries.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (home.path / "policy.toml").write_text(f'{POLICY}[evaluation]\nqueries = "queries.jsonl"\n')
    told = shown(home)
    assert (told["queries"], told["search_release"], told["slower"]) == (4, "r000001", 0)
    assert told["ndcg_10"] == told["ndcg_10_image"] == told["recall_100"] == 1.0
    assert 0 < told["p50_ms_embed"] <= told["p50_ms_text"] <= told["p95_ms_text"]
    assert not any(name.endswith("_audio") for name in told), "what was not measured has no number"
    report = told["report"]
    for row in (
        "| text | image | 4 |",
        "| early |",
        "| hybrid |",
        "| several |",
        "| embed | encode",
    ):
        assert row in report
    picture = report.split("base64,")[1].split(")")[0]
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert image.format == "PNG" and len(image.getcolors() or []) > 4
    assert len(measurements(home.store)) == 1

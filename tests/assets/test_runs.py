"""Runs as the UI starts them and as the terminal does, on real tables, models and instances."""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from homes import PLANTED, Home

import assets.checks
from pipelines.channels import CHANNELS
from pipelines.models.suite import ModelSuite
from pipelines.pipeline import STEPS
from pipelines.releases.log import require

pytestmark = pytest.mark.slow

NUMBERS = (
    "rows",
    "encoded",
    "refreshed",
    "removed",
    "ok",
    "failed",
    "quarantined",
    "skipped",
    "seconds",
)


def contents(home: Home) -> dict[str, dict[str, Any]]:
    """Everything that indexing made, by table and key."""
    store, columns = home.store, ["key", "batch", "recipe", "attributes_hash"]
    tables: dict[str, Any] = {
        "segments": store.segments.rows(["key", "batch", "recipe", "derivative", "thumbnail"]),
        "texts": store.texts.rows(["key", "batch", "recipe", "text", "confidence", "words"]),
        "passages": store.passages.rows([*columns, "source", "text"]),
    }
    for name, encoder in ModelSuite().encoders().items():
        tables[name] = store.channel(name, encoder.identity).rows([*columns, "vector"])
    return {name: {row.pop("key"): row for row in rows} for name, rows in tables.items()}


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> list[dict[str, Any]]:
    events = result.asset_materializations_for_node(asset)
    return [dict(event.metadata) for event in events]


@pytest.fixture(scope="module")
def by_hand(open_home: Callable[..., Home], raw: Path) -> Home:
    """Scan, the first batch alone, the others as one backfill, release: as in the UI."""
    home = open_home()
    assert home.scan(raw).success
    first, *others = home.batches
    assert len(others) == 3
    assert home.run(*STEPS, batch=first).success
    assert home.run(*STEPS, span=(others[0], others[-1])).success
    assert home.run("release").success
    return home


def test_the_terminal_makes_the_same(
    by_hand: Home, open_home: Callable[..., Home], raw: Path
) -> None:
    expected = contents(by_hand)
    terminal = open_home()
    report = terminal.index(raw)
    made = contents(terminal)

    assert report["release"] == "r000001"
    assert report["outcomes"]["ok"] == 4
    assert report["encoded"] == {name: len(made[name]) for name in CHANNELS}
    assert {"segments": 4, "visual": 3, "caption": 3, "meta": 2}.items() <= {
        name: len(rows) for name, rows in made.items()
    }.items()
    for name, rows in made.items():
        vectors = [
            (row.pop("vector", 0.0), expected[name][key].pop("vector", 0.0))
            for key, row in rows.items()
        ]
        assert rows == expected[name]
        assert all(np.allclose(*pair, atol=1e-6) for pair in vectors)

    unwanted: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assets.checks, "inspect", lambda *_: unwanted.append("inspected"))
        again = terminal.index(raw)
    assert again["items"] == {"new": 0, "changed": 0, "deleted": 0, "unchanged": 4}
    assert not any(again["encoded"].values())
    assert not unwanted, "an unchanged source needs no Great Expectations"


def test_every_batch_is_a_materialized_partition(by_hand: Home) -> None:
    for name in ("raw_media", *STEPS):
        assert by_hand.instance.get_materialized_partitions(dg.AssetKey(name)) == set(
            by_hand.batches
        )


def test_a_second_run_of_everything_does_nothing(by_hand: Home) -> None:
    before = contents(by_hand)
    scanned = by_hand.scan()
    derived = by_hand.run(*STEPS, span=(by_hand.batches[0], by_hand.batches[-1]))
    released = by_hand.run("release")

    assert metadata(scanned, "items")[0]["unchanged"].value == 4
    assert not scanned.asset_materializations_for_node("raw_media")
    for name in STEPS:
        reports = metadata(derived, name)
        assert len(reports) == 4
        assert {
            report[key].value for report in reports for key in ("encoded", "refreshed", "removed")
        } == {0}
    assert metadata(released, "release")[0]["new"].value is False
    assert contents(by_hand) == before
    assert require(by_hand.store).release == "r000001"


def test_derived_batches_are_reported_in_numbers_tables_and_pictures(by_hand: Home) -> None:
    result = by_hand.run("redacted_media", "visual_embeddings", batch=by_hand.batches[0])
    for name in ("redacted_media", "visual_embeddings"):
        (report,) = metadata(result, name)
        assert all(type(report[key].value) in (int, float) for key in NUMBERS)
        # Nothing was encoded here, and no rate is not a rate of zero.
        assert report["encoded"].value == 0 and "rows_per_second" not in report
        assert isinstance(report["outcomes"], dg.TableMetadataValue)
        assert [dict(record.data) for record in report["outcomes"].records] == [
            {"status": "ok", "items": 1, "reason": ""}
        ]
    sheet = metadata(result, "redacted_media")[0]["contact_sheet"]
    assert isinstance(sheet, dg.MarkdownMetadataValue)
    assert len(sheet.md_str or "") < 40_000
    picture = re.search(r"\(data:image/jpeg;base64,([^)]+)\)", sheet.md_str or "")
    assert picture and base64.b64decode(picture[1]).startswith(b"\xff\xd8")


def test_tables_and_releases_are_described(by_hand: Home) -> None:
    (items,) = metadata(by_hand.scan(), "items")
    assert items["dagster/row_count"].value == 4
    assert "content_hash" in {
        column.name for column in items["dagster/column_schema"].value.columns
    }
    assert str(items["dagster/uri"].value).endswith("delta/items")

    (release,) = metadata(by_hand.run("release"), "release")
    assert release["items"].value == 4
    assert release["rows_visual"].value == 3
    assert release["coverage_visual"].value == 0.75
    assert "### Release r000001" in release["notes"].value
    assert release["manifest"].value["release"] == "r000001"


def test_checks_of_the_runs_hold(by_hand: Home) -> None:
    result = by_hand.run("release", "items", config={"items": {"sources": []}})
    checks = {
        evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()
    }
    assert checks.keys() == {"items", "coverage", "failures"}
    assert all(evaluation.passed for evaluation in checks.values())
    assert checks["coverage"].metadata["coverage_visual"].value == 1.0


def test_nothing_planted_is_kept_anywhere(by_hand: Home) -> None:
    files = [path for path in by_hand.path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    for secret in PLANTED:
        assert [path for path in files if secret.encode() in path.read_bytes()] == []

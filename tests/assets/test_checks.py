"""Checks in runs: what they report, how severely, and that they keep no value."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from homes import Home

import assets.checks
from pipelines.quality.subjects import subjects
from pipelines.quality.suites import Verdict
from pipelines.releases.publish import publish

pytestmark = pytest.mark.slow

BATCH = "2026-11-20.000"
SECRET = "anna.keller@harborpress.org"


def item(**values: Any) -> dict[str, Any]:
    return {
        "item_id": "a",
        "batch": BATCH,
        "kind": "text",
        "content_hash": "0" * 32,
        "size": 5,
        "origins": [],
        "deleted": False,
    } | values


def text(**values: Any) -> dict[str, Any]:
    row = {"key": "a#body@body-000", "item_id": "a", "batch": BATCH, "segment": "body"}
    made = {"source": "body", "text": "nine", "text_hash": "0" * 32, "recipe": "r"}
    return row | made | values


@pytest.fixture
def home(open_home: Callable[..., Home]) -> Home:
    return open_home()


def check(home: Home) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Run all checks and nothing else."""
    job = home.defs.resolve_implicit_global_asset_job_def()
    keys = home.defs.resolve_asset_graph().asset_check_keys
    result = job.get_subset(asset_check_selection=set(keys)).execute_in_process(
        instance=home.instance, raise_on_error=True
    )
    return {
        (found.asset_key.to_user_string(), found.check_name): found
        for found in result.get_asset_check_evaluations()
        if found.asset_key.to_user_string() != "upkeep"
    }


def test_nothing_yet_is_no_fault_except_of_the_release(home: Home) -> None:
    found = check(home)
    assert len(found) == len(subjects())
    release = found.pop(("release", "coverage"))
    assert all(
        check.passed and check.description == "there is nothing yet" for check in found.values()
    )
    assert not release.passed
    assert release.severity is dg.AssetCheckSeverity.WARN


def test_what_fails_is_named_and_counted_but_not_shown(home: Home) -> None:
    home.store.items.append([item(), item(kind="secret-kind"), item(item_id="b", size=0)])
    home.store.texts.append([text(text=f"Ask {SECRET}")])
    found = check(home)

    items = found["items", "items"]
    assert not items.passed
    assert items.severity is dg.AssetCheckSeverity.ERROR
    numbers = {name: items.metadata[name].value for name in ("rows", "failed", "unexpected")}
    assert numbers == {"rows": 3, "failed": 3, "unexpected": 4}
    assert "item_id: values to be unique" in (items.description or "")
    texts = found["redacted_media", "texts"]
    assert texts.description == "text: no e-mail address"
    (row,) = [
        dict(record.data)
        for record in texts.metadata["verdicts"].value.records
        if not record.data["holds"]
    ]
    assert row == {
        "column": "text",
        "expectation": "no e-mail address",
        "holds": False,
        "unexpected": 1,
    }
    for kept in (SECRET, "secret-kind"):
        assert kept not in str(found)
        assert not [
            path
            for path in (home.path / "dagster").rglob("*")
            if path.is_file() and kept.encode() in path.read_bytes()
        ]


def test_an_item_without_rows_is_a_warning(home: Home) -> None:
    home.store.items.append([item(), item(item_id="b")])
    home.store.segments.append(
        [{"key": "a#body", "segment": "body", "kind": "text", "item_id": "a", "batch": BATCH}]
    )
    (home.path / "policy.toml").write_text("[coverage]\nminimum = 0.5")
    publish(home.store, {}, home.settings)
    release = check(home)["release", "coverage"]
    assert not release.passed
    assert release.severity is dg.AssetCheckSeverity.WARN
    assert release.metadata["coverage_redacted_media"].value == 0.5
    assert release.metadata["coverage_visual"].value == 1.0


def test_tables_that_stand_still_are_not_inspected_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.store.items.append([item(kind="unheard of")])
    before = check(home)["items", "items"]

    inspected: list[Any] = []
    inspect = assets.checks.inspect
    monkeypatch.setattr(
        assets.checks,
        "inspect",
        lambda suite, rows: inspected.append(suite) or inspect(suite, rows),
    )
    again = check(home)["items", "items"]
    assert not inspected
    assert (again.passed, again.severity, again.description, again.metadata) == (
        before.passed,
        before.severity,
        before.description,
        before.metadata,
    )

    home.store.items.replace("item_id = 'a'", [item()])
    assert check(home)["items", "items"].passed
    assert len(inspected) > 0


def test_the_terminal_tells_of_a_check_that_failed(
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "a.txt").write_text("The harbor opens at nine.")
    failed = Verdict("unit length", "norm", success=False, unexpected=1, critical=True)
    monkeypatch.setattr(assets.checks, "inspect", lambda suite, rows: [failed])
    assert home.index(tmp_path)["release"] == "r000001", "checks report, they do not stop"
    assert "ocr_embeddings, check vectors: norm: unit length" in caplog.messages

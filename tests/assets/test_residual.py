"""The gate: a batch in which private data is still found after redaction goes no further."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from homes import BADGE, Home, draw
from PIL import Image

import pipelines.steps.redact
from pipelines.channels import CHANNELS
from pipelines.errors import ResidualFinding
from pipelines.models.suite import ModelSuite
from pipelines.redaction import Redacted

pytestmark = pytest.mark.slow

REDACTED = dg.AssetKey("redacted_media")
AFTER = {"captions", "passages", *(f"{name}_embeddings" for name in CHANNELS)}


class Automation:
    """The automation sensor, tick by tick; what it requests is run if it can be run at once."""

    def __init__(self, home: Home):
        self.home = home
        self._cursor: Any = None

    def tick(self) -> set[tuple[str, str]]:
        """Return what one tick requests: asset and batch."""
        result = dg.evaluate_automation_conditions(
            defs=self.home.defs,
            instance=self.home.instance,
            asset_selection=dg.AssetSelection.groups("redact", "enrich", "embed"),
            cursor=self._cursor,
        )
        self._cursor = result.cursor
        requested = set()
        for found in result.results:
            name = found.key.to_user_string()
            requested |= {(name, batch) for batch in result.get_requested_partitions(found.key)}
        return requested


@pytest.fixture(scope="module")
def gate() -> Iterator[None]:
    """No badge can be redacted."""
    redact = pipelines.steps.redact.redact_image

    def refuse(image: Image.Image, *rest: Any) -> Redacted:
        if image.size == BADGE:
            raise ResidualFinding("still found after masking: US_SSN")
        return redact(image, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines.steps.redact, "redact_image", refuse)
        yield


def left_of(home: Home, item_id: str) -> list[str]:
    """Names of tables that hold rows of an item beside what was redacted when it was registered."""
    where = f"item_id = '{item_id}'"
    tables = {
        "segments": home.store.segments.rows(["item_id"], where),
        "texts": home.store.texts.rows(["item_id"], where),
        "findings": home.store.findings.rows(["item_id"], where),
        "passages": home.store.passages.rows(["item_id"]),
        **{
            name: home.store.channel(name, encoder.identity).rows(["item_id"])
            for name, encoder in ModelSuite().encoders().items()
        },
    }
    return [name for name, rows in tables.items() if any(row["item_id"] == item_id for row in rows)]


def test_a_residual_finding_stops_its_batch_and_no_other(
    gate: None, open_home: Callable[..., Home], tmp_path: Path
) -> None:
    draw(tmp_path / "a.png", BADGE, "Visitor")
    draw(tmp_path / "b.png", (320, 240), "Harbor")
    home = open_home()
    assert home.scan(tmp_path).success
    bad, good = home.batches
    (badge,) = home.store.items.rows(["item_id"], f"batch = '{bad}'")
    automation = Automation(home)

    assert automation.tick() == {("redacted_media", bad), ("redacted_media", good)}
    failed, passed = (home.run("redacted_media", batch=batch) for batch in (bad, good))

    assert passed.success and not failed.success
    (failure,) = failed.get_failed_step_keys() and [
        event.step_failure_data for event in failed.all_events if event.is_step_failure
    ]
    assert failure.user_failure_data is not None
    assert "quarantined" in str(failure.user_failure_data.description)
    assert failed.failure_data_for_node("redacted_media").error.cls_name == "Failure"
    assert failed.retry_attempts_for_node("redacted_media") == 0
    assert not failed.asset_materializations_for_node("redacted_media")
    assert home.instance.get_materialized_partitions(REDACTED) == {good}

    (outcome,) = home.store.outcomes.rows(where=f"batch = '{bad}'")
    assert (outcome["status"], outcome["error"]) == ("quarantined", "ResidualFinding")
    assert outcome["item_id"] == badge["item_id"]
    assert left_of(home, badge["item_id"]) == []

    requested = automation.tick()
    assert {batch for _, batch in requested} == {good}
    assert {name for name, _ in requested} == AFTER - {"caption_embeddings"}
    assert home.run("captions", batch=good).success
    assert {("caption_embeddings", good)} <= automation.tick()
    assert home.run(*AFTER, batch=good).success
    assert automation.tick() == set()

    again = home.run("redacted_media", *AFTER, batch=bad)
    assert again.success
    assert left_of(home, badge["item_id"]) == []
    assert home.run("release").success
    assert home.store.outcomes.rows(where=f"batch = '{bad}'") == [outcome]


def test_a_scan_that_finds_nothing_requests_nothing(
    gate: None, open_home: Callable[..., Home], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The harbor opens at nine.")
    home = open_home()
    automation = Automation(home)
    assert home.scan(tmp_path).success
    (batch,) = home.batches
    assert automation.tick() == {("redacted_media", batch)}
    assert home.run("redacted_media", *AFTER, batch=batch).success
    automation.tick()

    assert home.scan().success
    assert automation.tick() == set()

    (tmp_path / "a.txt").write_text("The harbor opens at ten.")
    assert home.scan().success
    assert automation.tick() == {("redacted_media", batch)}

"""The gate: a batch in which private data is still found after redaction goes no further."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from homes import BADGE, SKETCH, Home, draw
from PIL import Image

import pipelines.steps.redact
from pipelines.channels import CHANNELS
from pipelines.errors import ResidualFinding
from pipelines.models.suite import ModelSuite
from pipelines.privacy.redaction import Redacted

pytestmark = pytest.mark.slow

READ = {"redacted_media", "keyframes", "transcripts"}
# What is made of sound and film alone goes on beside; there is none of either here.
ASIDE = {
    *("keyframes", "transcripts", "sound_tags"),
    *(f"{name}_embeddings" for name in ("transcript", "audio", "video")),
}
AT_ONCE = {"captions", "passages", *(f"{name}_embeddings" for name in ("visual", "ocr", "meta"))}
AFTER = {*AT_ONCE, "caption_embeddings", "storylines", "story_embeddings"}


class Automation:
    """The automation sensor, tick by tick."""

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


def materialized(home: Home) -> set[tuple[str, str]]:
    """Which batches of which derived assets Dagster knows of."""
    return {
        (name, batch)
        for name in ("redacted_media", *AFTER)
        for batch in home.instance.get_materialized_partitions(dg.AssetKey(name))
    }


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
    automation = Automation(home)
    assert home.scan(tmp_path).success
    bad, good = home.batches
    (badge,) = home.store.items.rows(["item_id"], f"batch = '{bad}'")

    assert automation.tick() == {(name, batch) for name in READ for batch in (bad, good)}
    assert home.run(*ASIDE, span=(bad, good)).success
    with pytest.raises(dg.Failure, match="1 redacted item") as failure:
        home.run("redacted_media", *AFTER, span=(bad, good), strict=True)
    assert failure.value.allow_retries is False
    assert materialized(home) == {("redacted_media", good)}
    (outcome,) = home.store.outcomes.rows(where=f"batch = '{bad}'")
    assert (outcome["status"], outcome["error"]) == ("quarantined", "ResidualFinding")
    assert outcome["item_id"] == badge["item_id"]
    assert left_of(home, badge["item_id"]) == []

    for names in (AT_ONCE, {"caption_embeddings", "storylines"}, {"story_embeddings"}):
        assert automation.tick() == {(name, good) for name in names}
        assert home.run(*names, batch=good).success
    assert automation.tick() == set()

    again = home.run("redacted_media", *AFTER, batch=bad)
    assert again.success and home.run("release").success
    assert home.store.outcomes.rows(where=f"batch = '{bad}'") == [outcome]
    assert left_of(home, badge["item_id"]) == []
    assert all(check.passed for check in again.get_asset_check_evaluations())


def test_what_leaks_after_a_change_loses_its_rows(
    gate: None, open_home: Callable[..., Home], tmp_path: Path
) -> None:
    draw(tmp_path / "a.png", SKETCH, "Visitor")
    home = open_home()
    automation = Automation(home)
    assert home.scan(tmp_path).success
    (batch,) = home.batches
    (item,) = home.store.items.rows(["item_id"])
    assert home.run("redacted_media", *ASIDE, *AFTER, batch=batch).success
    automation.tick()
    assert left_of(home, item["item_id"])

    draw(tmp_path / "a.png", BADGE, "Visitor")
    assert home.scan(tmp_path).success
    assert automation.tick() == {(name, batch) for name in READ}
    assert home.run(*ASIDE, batch=batch).success
    failed = home.run("redacted_media", batch=batch)
    assert not failed.success and not failed.get_asset_materialization_events()
    assert home.store.segments.rows() == []
    # The names of sounds are new, and captions are those of before: nothing is read from the badge.
    assert automation.tick() == {("caption_embeddings", batch)}

    assert home.run("redacted_media", *AFTER, batch=batch).success
    assert left_of(home, item["item_id"]) == []


def test_waiting_batches_are_requested_once_and_an_idle_scan_requests_none(
    open_home: Callable[..., Home], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The harbor opens at nine.")
    home = open_home()
    assert home.scan(tmp_path).success
    (batch,) = home.batches
    automation = Automation(home)
    assert automation.tick() == {(name, batch) for name in READ}, "though turned on after the scan"
    assert home.run("redacted_media", *ASIDE, *AFTER, batch=batch).success
    assert automation.tick() == set()

    assert home.scan().success
    assert automation.tick() == set()

    (tmp_path / "a.txt").write_text("The harbor opens at ten.")
    assert home.scan().success
    assert automation.tick() == {(name, batch) for name in READ}


def test_the_terminal_goes_on_without_what_leaks(
    gate: None, open_home: Callable[..., Home], tmp_path: Path
) -> None:
    draw(tmp_path / "a.png", BADGE, "Visitor")
    (tmp_path / "b.txt").write_text("The harbor opens at nine.")
    home = open_home(items=8)
    report = home.index(tmp_path)
    assert report["outcomes"] == {"ok": 1, "failed": 0, "quarantined": 1, "skipped": 0}
    assert report["encoded"] == dict.fromkeys(CHANNELS, 0) | {"ocr": 1}
    assert report["release"] == "r000001"

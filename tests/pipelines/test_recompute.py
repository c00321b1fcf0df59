"""What is made again after which change: the README's table, line by line, in counted calls."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont
from projects import Models, Project, Reader, Toy, identity

from pipelines.privacy.pii import Detector
from pipelines.reading.ocr import TesseractReader
from pipelines.steps.caption import CaptionStep
from pipelines.steps.runner import Report


def draw(path: Path, *lines: str, dark: bool = False) -> None:
    image = Image.new("RGB", (520, 90 + 70 * len(lines)), (20, 20, 20) if dark else "white")
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        pen.text((30, 40 + 70 * number), line, "black", ImageFont.load_default(32))
    image.save(path)


POSTER = '{"file_name": "poster.png", "title": "Jazz by the river"}'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with words, one without, and a note; indexed. Kept aside as `master`."""
    folder = tmp_path_factory.mktemp("recompute")
    project = Project(folder / "here")
    draw(project.raw / "poster.png", "Open air concert", "Mail anna.keller@harborpress.org")
    draw(project.raw / "night.png", dark=True)
    (project.raw / "note.txt").write_text("The keys are with the night porter.")
    project.describe(POSTER)
    project.index(Models())
    (folder / "here").rename(folder / "master")
    return folder


@pytest.fixture
def project(place: Path) -> Iterator[Project]:
    shutil.copytree(place / "master", place / "here")
    yield Project(place / "here")
    shutil.rmtree(place / "here")


STEPS = ("redacted_media", "captions", "visual", "caption", "ocr", "meta", "passages")


def made(reports: dict[str, Report]) -> tuple[int, ...]:
    return tuple(reports[name].encoded for name in STEPS)


def calls(models: Models) -> tuple[int, int, int]:
    """Inputs seen by the caption model, the image encoder and the text encoder."""
    return len(models.caption.seen), len(models.image.seen), len(models.text.seen)


def test_nothing_changed(project: Project) -> None:
    models = Models()
    reports = project.index(models)
    assert made(reports) == (0, 0, 0, 0, 0, 0, 0)
    assert calls(models) == (0, 0, 0) and not models.ocr.seen


def test_new_item(project: Project) -> None:
    draw(project.raw / "fair.png", "Summer fair")
    project.describe(POSTER, '{"file_name": "fair.png", "title": "Fair"}')
    models = Models()
    assert made(project.index(models)) == (1, 1, 1, 1, 1, 1, 2)
    assert calls(models) == (1, 1, 3)


def test_changed_bytes(project: Project) -> None:
    draw(project.raw / "poster.png", "Closed air concert", "Mail anna.keller@harborpress.org")
    models = Models()
    # The caption turns out to be the same sentence, so its vector stays.
    assert made(project.index(models)) == (1, 1, 1, 0, 1, 0, 1)
    assert calls(models) == (1, 1, 1)


def test_changed_title_only(project: Project) -> None:
    before = vectors(project, "visual")
    project.describe(POSTER.replace("Jazz", "Blues"))
    models = Models()
    reports = project.index(models)
    assert made(reports) == (0, 0, 0, 0, 0, 1, 1)
    assert calls(models) == (0, 0, 1) and not models.ocr.seen
    # Beside the vectors that stay, the new title is copied.
    assert [reports[name].refreshed for name in ("visual", "caption", "ocr")] == [1, 1, 1]
    assert vectors(project, "visual") == before


def test_changed_ocr_settings(project: Project) -> None:
    models = Models(ocr=Reader(TesseractReader(min_confidence=0.45)))
    # Pictures are read again; as they say the same, nothing follows. Text files are not read.
    assert made(project.index(models)) == (2, 0, 0, 0, 0, 0, 0)
    assert calls(models) == (0, 0, 0) and models.ocr.seen


def test_new_caption_model(project: Project) -> None:
    models = Models(caption=Toy(identity("other", 0), saying=_blacker))
    assert made(project.index(models)) == (0, 2, 0, 1, 0, 0, 0)
    assert calls(models) == (2, 0, 1) and not models.ocr.seen


def _blacker(sentence: str) -> str:
    return sentence.replace("dark", "black")


def test_new_text_encoder(project: Project) -> None:
    old = project.store.channel("ocr", identity("text")).rows(["key", "vector"])
    models = Models(text=Toy(identity("newer")))
    assert made(project.index(models)) == (0, 0, 0, 2, 2, 1, 0)
    assert calls(models) == (0, 0, 5)
    assert project.store.channel("ocr", identity("text")).rows(["key", "vector"]) == old


def test_changed_policy_for_personal_data(project: Project) -> None:
    models = Models(pii=Detector(["PERSON"]))
    # All is looked at again; only the poster, whose address now stays, changes.
    assert made(project.index(models)) == (3, 1, 1, 0, 1, 0, 1)
    assert calls(models) == (1, 1, 1)


def test_deleted_item(project: Project) -> None:
    (project.raw / "poster.png").unlink()
    models = Models()
    reports = project.index(models)
    assert made(reports) == (0, 0, 0, 0, 0, 0, 0)
    assert calls(models) == (0, 0, 0) and not models.ocr.seen
    assert [reports[name].removed for name in STEPS] == [1, 1, 1, 1, 1, 1, 2]


def test_moved_item(project: Project) -> None:
    (project.raw / "night.png").rename(project.raw / "evening.png")
    models = Models()
    reports = project.index(models)
    assert made(reports) == (0, 0, 0, 0, 0, 0, 0)
    assert calls(models) == (0, 0, 0) and not models.ocr.seen
    assert reports["visual"].refreshed == 1


def test_other_code_of_a_step(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(self: CaptionStep, group: Sequence[Any], loaded: Sequence[Any]) -> Sequence[str]:
        return self._captioner.caption_prepared(loaded)

    changed = (CaptionStep.load, compute)
    monkeypatch.setattr("pipelines.steps.caption.CODE", changed)
    models = Models()
    # Captioned again, to the same words: no vector moves.
    assert made(project.index(models)) == (0, 2, 0, 0, 0, 0, 0)
    assert calls(models) == (2, 0, 0)


def vectors(project: Project, channel: str) -> dict[str, list[float]]:
    table = project.store.channel(channel, identity("image" if channel == "visual" else "text"))
    return {row["key"]: row["vector"] for row in table.rows(["key", "vector"])}

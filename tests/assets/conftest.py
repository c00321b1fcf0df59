"""Homes with a real Dagster instance, over a folder of a few drawn pictures and a note."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from homes import BADGE, EMAIL, METADATA, PHONE, POSTER, SKETCH, SSN, Home, draw

from pipelines.settings import load_settings
from sensors.launch import prepare_home


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures and a note; two of the four hold something private."""
    folder = tmp_path_factory.mktemp("raw")
    draw(folder / "badge.png", BADGE, "Visitor of the harbor", EMAIL, f"SSN {SSN}")
    draw(folder / "poster.png", POSTER, "RIVERSIDE JAZZ", "Every Friday evening")
    draw(folder / "sketch.png", SKETCH, fill="teal")
    (folder / "visit.md").write_text(f"# Visit\n\nThe lighthouse opens at nine.\nCall {PHONE}.\n")
    rows = "\n".join(json.dumps(row) for row in METADATA)
    (folder / "metadata.jsonl").write_text(rows)
    return folder


@pytest.fixture(scope="module")
def open_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Home]]:
    """Open any number of homes, one at a time, with batches of one item unless told otherwise."""
    with pytest.MonkeyPatch.context() as patch:

        def make(items: int = 1) -> Home:
            path = tmp_path_factory.mktemp("home")
            patch.setenv("MEDIADEX_HOME", str(path))
            patch.setenv("DAGSTER_HOME", str(path / "dagster"))
            patch.setenv("MEDIADEX_BATCH_ITEMS", str(items))
            prepare_home(load_settings(path))
            return Home(path)

        yield make

"""A killed run loses nothing but the group in flight, and the next run ends where one run would."""

import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from running import SAMPLES, mediadex, start

from pipelines.channels import CHANNELS
from pipelines.models.suite import ModelSuite
from pipelines.store import Store

pytestmark = pytest.mark.slow

KILLS = 3
ENV = {"MEDIADEX_GROUP_ITEMS": "4"}


def contents(store: Store) -> dict[str, Any]:
    """Everything that is derived, without times and without the batch's date."""
    dropped = {"registered_at", "updated_at", "batch"}
    facts = {
        name: sorted(
            repr({key: value for key, value in row.items() if key not in dropped})
            for row in getattr(store, name).rows()
        )
        for name in ("items", "segments", "texts", "findings")
    }
    vectors = {
        name: {
            row["key"]: (row["recipe"], row["vector"])
            for row in table(store, name).rows(["key", "recipe", "vector"])
        }
        for name in CHANNELS
    }
    return {**facts, **vectors}


def table(store: Store, channel: str) -> Any:
    return store.channel(channel, ModelSuite().encoder(CHANNELS[channel]).identity)


def test_killed_runs_end_where_one_run_does(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("products", "documents"):
        shutil.copytree(SAMPLES / folder, source / folder)
    whole = mediadex(tmp_path / "whole", "index", str(source), **ENV)
    home = tmp_path / "killed"
    store = Store(str(home))
    chance = random.Random(7)
    for _ in range(KILLS):
        process = start(home, "index", str(source), **ENV)
        time.sleep(chance.uniform(4, max(whole["seconds"] * 0.9, 6)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = {name: len(table(store, name).rows(["key"])) for name in CHANNELS}
    finished = mediadex(home, "index", str(source), **ENV)
    for name in CHANNELS:
        assert finished["encoded"][name] == whole["encoded"][name] - before[name]
    assert contents(store) == contents(Store(str(tmp_path / "whole")))


def test_interrupted_run_leaves_the_last_release_serving(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(SAMPLES / "products" / "mug.jpg", source)
    home = tmp_path / "home"
    first = mediadex(home, "index", str(source))
    shutil.copytree(SAMPLES / "posters", source / "posters")
    process = start(home, "index", str(source))
    time.sleep(7)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    answer = mediadex(home, "search", "jazz concert")
    assert answer["release"] == first["release"]
    assert not any("/posters/" in result["uri"] for result in answer["results"])
    second = mediadex(home, "index", str(source))
    assert second["release"] > first["release"]
    assert "/posters/" in mediadex(home, "search", "jazz concert")["results"][0]["uri"]

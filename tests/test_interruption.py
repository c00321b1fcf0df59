"""Killed anywhere, a run loses nothing but the group in flight, and ends where one run would."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashing import ERASED, GROUP, Work
from PIL import Image
from running import ROOT

from pipelines.channels import CHANNELS
from pipelines.releases import log
from pipelines.store import Store

pytestmark = pytest.mark.slow

PHASES = ("index", "backfill", "switch", "purge")
KILLS = 5  # of each phase


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Memos and small pictures, with titles."""
    folder = tmp_path_factory.mktemp("crash") / "raw"
    folder.mkdir()
    rows = []
    for number in range(24):
        text = f"Memo number {number} about subject {number * 7919 % 1000}."
        (folder / f"memo-{number:02d}.txt").write_text(text)
        rows.append({"file_name": f"memo-{number:02d}.txt", "item_id": f"memo-{number:02d}"})
    colours = np.random.default_rng(5).integers(0, 255, (8, 3))
    for number, colour in enumerate(colours):
        Image.new("RGB", (64, 64), tuple(map(int, colour))).save(folder / f"dot-{number}.png")
        rows.append({"file_name": f"dot-{number}.png", "title": f"Dot {number}"})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def launch(home: Path, raw: Path, phase: str) -> subprocess.Popen[str]:
    """Start a phase and wait until it begins to work."""
    command = [sys.executable, str(ROOT / "tests" / "crashing.py"), str(home), str(raw)]
    process = subprocess.Popen(
        [*command, str(notes(home)), phase],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_THREAD_LIMIT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "ready\n", process.communicate()[1]
    return process


def notes(home: Path) -> Path:
    return home.parent / f"{home.name}.log"


def finish(home: Path, raw: Path, phase: str) -> float:
    """Run a phase to its end; returns the seconds that it worked."""
    process = launch(home, raw, phase)
    started = time.monotonic()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return time.monotonic() - started


def test_killed_work_ends_where_uninterrupted_work_does(raw: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    chance = random.Random(11)
    served: set[str] = set()
    for phase in PHASES:
        seconds = finish(whole, raw, phase)
        for _ in range(KILLS):
            process = launch(killed, raw, phase)
            time.sleep(chance.uniform(0.02, max(seconds, 0.2)))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            served |= consistent(killed, raw)
        finish(killed, raw, phase)
        served |= consistent(killed, raw)
    assert len(served) >= 2
    assert contents(killed, raw) == contents(whole, raw)
    # A model works in one phase only, and each kill there may cost it the group in flight.
    once, again = encoded(whole), encoded(killed)
    assert set(once) == set(again)
    repeated = Counter({key: count - once[key] for key, count in again.items()})
    for model in {key.split()[0] for key in again}:
        lost = sum(count for key, count in repeated.items() if key.split()[0] == model)
        assert lost <= KILLS * GROUP
    home = Store(str(killed))
    for item in ERASED:
        assert not any(item in str(row) for row in home.items.rows())


def test_a_backfill_runs_beside_indexing(raw: Path, tmp_path: Path) -> None:
    growing = tmp_path / "raw"
    later = tmp_path / "later"
    shutil.copytree(raw, growing)
    later.mkdir()
    for path in sorted(growing.glob("memo-1*")):
        path.rename(later / path.name)
    apart, together = tmp_path / "apart", tmp_path / "together"
    for home in (apart, together):
        finish(home, growing, "index")
    for path in sorted(later.iterdir()):
        path.rename(growing / path.name)
    running = [launch(together, growing, phase) for phase in ("backfill", "index")]
    for process in running:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    finish(apart, growing, "index")
    for home in (apart, together):
        finish(home, growing, "backfill")
    assert consistent(together, growing)
    for name, rows in contents(apart, growing).items():
        if name not in ("releases", "serving"):
            assert contents(together, growing)[name] == rows, name
    assert encoded(together) == encoded(apart)


def encoded(home: Path) -> Counter[str]:
    """Count how often each input was given to each model."""
    return Counter(notes(home).read_text().splitlines())


def consistent(home: Path, raw: Path) -> set[str]:
    """Check that what is served names one identity for each table and has all its rows."""
    store = Store(str(home))
    manifest = log.serving(store)
    if manifest is None:
        return set()
    import lancedb

    database = lancedb.connect(store.search_root)
    identities = set()
    for name, version in manifest.channels.items():
        table = database.open_table(version.table)
        table.checkout(version.version)
        rows = table.search().select(["identity"]).to_arrow()["identity"].unique().to_pylist()
        assert [json.loads(row) for row in rows] == [version.identity], name
        assert table.count_rows() == version.rows
        if CHANNELS[name].encoder == "text":
            identities.add(version.identity["name"])
    assert len(identities) == 1, "text channels of one release are of one encoder"
    return {manifest.release}


def contents(home: Path, raw: Path) -> dict[str, Any]:
    """Everything that is derived, without times and without the batch's date."""
    store = Store(str(home))
    dropped = {"registered_at", "updated_at", "batch"}
    facts = {
        name: sorted(
            repr({key: value for key, value in row.items() if key not in dropped})
            for row in getattr(store, name).rows()
        )
        for name in ("items", "segments", "texts", "findings", "outcomes")
    }
    work = Work(home, raw, notes(home))
    vectors = {
        f"{name} {text}": {
            row["key"]: (row["recipe"], row["vector"])
            for row in store.channel(name, choice.identity).rows(["key", "recipe", "vector"])
        }
        for text in ("text", "newer")
        for name, choice in work.encoders(text).items()
    }
    states = {row["release"]: row["items"] for row in log.history(store)}
    return {**facts, **vectors, "releases": states, "serving": log.serving(store).release}

"""What end-to-end tests share: running the real commands, real media, searching bytes."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
MEDIA = ROOT.parent / "shared" / "media"
MEDIADEX = str(Path(sys.executable).with_name("mediadex"))


def needs_media(folder: str) -> Path:
    """Return a folder of real media, or skip saying that it is absent."""
    path = MEDIA / folder
    if not path.exists():
        pytest.skip(f"real media are absent: {path}")
    return path


def mediadex(home: Path, *arguments: str) -> Any:
    """Run a command with `--json` in this process, which loads each model once; its document."""
    with pytest.MonkeyPatch.context() as patch:
        # Commands set both for the process; what they were comes back.
        patch.setenv("DAGSTER_HOME", "")
        patch.setenv("MEDIADEX_HOME", "")
        result = CliRunner().invoke(app, [*arguments, "--home", str(home), "--json"])
    if result.exception:
        raise result.exception
    return json.loads(result.stdout)


def mediadex_alone(home: Path, *arguments: str) -> Any:
    """Run a command with `--json` as a user does, in a process of its own; its document."""
    command = [MEDIADEX, *arguments, "--home", str(home), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def bytes_below(folder: Path, values: Sequence[str]) -> dict[str, list[str]]:
    """Find values, ignoring case, in every byte below a folder: value to files."""
    found: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes().lower()
            for value in values:
                if value.lower().encode() in data:
                    found.setdefault(value, []).append(str(path.relative_to(folder)))
    return found

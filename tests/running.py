"""What end-to-end tests share: running the real command line, real media, searching bytes."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

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


def start(home: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start a `mediadex` command on a home."""
    return subprocess.Popen(
        [MEDIADEX, *arguments, "--home", str(home)],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def mediadex(home: Path, *arguments: str, **env: str) -> Any:
    """Run a command with `--json` and return its document."""
    process = start(home, *arguments, "--json", **env)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return json.loads(out)


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

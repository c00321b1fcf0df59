"""Loading the code location stays quick and brings in nothing heavy.

Which layer may import which is held by import-linter, in `make check`.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_SECONDS = 3.0
"""Of processor time, which does not grow with what else the machine does."""

LOAD = """
import json, sys, time
from definitions import definitions
definitions().get_repository_def()
print(json.dumps([time.process_time(), sorted(sys.modules)]))
"""


def test_loading_the_definitions_is_quick_and_light() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    heavy = pyproject["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]

    seconds, modules = zip(*(_load() for _ in range(3)), strict=True)

    assert min(seconds) < LIMIT_SECONDS
    assert {"torch", "lancedb", "presidio_analyzer"} <= set(heavy)
    assert set(heavy).isdisjoint(modules[0])


def _load() -> tuple[float, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    return seconds, modules

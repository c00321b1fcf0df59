"""The home that several end-to-end tests look at, indexed once a session."""

import os
from pathlib import Path
from typing import Any

import pytest
from running import SAMPLES, mediadex_alone

# Threads that spin while they wait take cores from the other test processes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with whole runs: they take longest, and no process shall wait at the end."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(scope="session")
def samples_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A home with the samples indexed, and what `index` reported."""
    home = tmp_path_factory.mktemp("samples-home")
    return home, mediadex_alone(home, "index", str(SAMPLES))

"""A home with a folder of raw media, and the small files that tests put there."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.models.protocols import Identity
from pipelines.privacy.pii import Finding
from pipelines.settings import Settings
from pipelines.steps.ingest import IngestReport, ingest
from pipelines.store import Store


class FakeDetector:
    """Finds e-mail addresses and social security numbers without loading Presidio."""

    identity = Identity("fake", "1", "", "", 0, "")
    _patterns = (
        ("EMAIL_ADDRESS", re.compile(r"[\w.+/-]+@[\w-]+\.\w+")),
        ("US_SSN", re.compile(r"\d{3}-\d{2}-\d{4}")),
    )

    def find(self, text: str, entities: Sequence[str] | None = None) -> list[Finding]:
        found = [
            Finding(kind, match.start(), match.end(), 1.0)
            for kind, pattern in self._patterns
            if entities is None or kind in entities
            for match in pattern.finditer(text)
        ]
        return sorted(found, key=lambda finding: finding.start)


class Home:
    """A store beside a folder of raw media."""

    def __init__(self, path: Path):
        self.path = path / "home"
        self.raw = path / "raw"
        self.raw.mkdir(parents=True)
        self.store = Store(str(self.path))
        self.settings = Settings(home=self.path, workers=2)
        self.detector = FakeDetector()

    def write(self, name: str, data: bytes | str) -> Path:
        file = self.raw / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        return file

    def ingest(self, url: str | None = None, **changed: Any) -> IngestReport:
        settings = self.settings.model_copy(update=changed)
        return ingest(self.store, url or str(self.raw), self.detector, settings)  # type: ignore[arg-type]

    def items(self) -> dict[str, dict[str, Any]]:
        """Live items by the file name of each of their origins."""
        rows = self.store.items.rows(where="deleted = false")
        return {origin["file_name"]: row for row in rows for origin in row["origins"]}

    def ids(self) -> dict[str, str]:
        return {name: item["item_id"] for name, item in self.items().items()}

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """Outcomes of ingest by uri below the folder."""
        prefix = f"{self.raw.as_uri()}/"
        return {row["uri"].removeprefix(prefix): row for row in self.store.outcomes.rows()}

    def versions(self) -> dict[str, int | None]:
        names = ("items", "texts", "findings", "outcomes", "segments")
        return {name: getattr(self.store, name).version for name in names}

    def holds(self, secret: str) -> list[Path]:
        """Files below the home that hold a text in their bytes or in their name."""
        files = [path for path in self.path.rglob("*") if path.is_file()]
        return [
            path for path in files if secret in str(path) or secret.encode() in path.read_bytes()
        ]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def new_home(tmp_path: Path) -> Callable[[], Home]:
    """Make any number of homes, for tests that need a fresh one for each example."""

    def make() -> Home:
        path = tmp_path / os.urandom(8).hex()
        return Home(path)

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)

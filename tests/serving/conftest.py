"""Servers that start fast: what finds private data is tried elsewhere, and takes long to load."""

from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.models.suite import ModelSuite
from pipelines.privacy.pii import Detector


class NothingPrivate(Detector):
    """Finds nothing."""

    def find(self, *_: Any, **__: Any) -> list[Any]:
        return []


@pytest.fixture(autouse=True, scope="module")
def nothing_is_private() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelSuite, "detector", lambda suite: NothingPrivate())
        yield

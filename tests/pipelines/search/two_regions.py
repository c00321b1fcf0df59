"""A home of two regions that is asked by several callers, through a service with all it has."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import toy
from toy import CHOICES, fill, item_id

from pipelines.models.suite import ModelSuite
from pipelines.outcomes import now
from pipelines.privacy.pii import Detector
from pipelines.releases.publish import publish
from pipelines.rights import Caller
from pipelines.search import following
from pipelines.search.asked.query import Query
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store

EU, US = Caller(user="ana", region="eu"), Caller(user="bob", region="us")
IN_EU, IN_US = range(6), range(6, 10)


class Home:
    """A home of ten items, six in the EU and four in the US, and a service that answers from it."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.store = Store(settings.root)
        self.runner = asyncio.Runner()
        self.service = SearchService(self.store, settings, mirror=True, journal=True)

    def ask(self, text: str, caller: Caller | None = None, **how: Any) -> dict[str, Any]:
        return self.runner.run(self.service.search(Query(text, **how), caller=caller))

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def change(self, number: int, **said: Any) -> None:
        """Let the catalog say something else of an item, as a scan does."""
        where = f"item_id = '{item_id(number)}'"
        (row,) = self.store.items.rows(where=where)
        self.store.items.replace(where, [row | {"updated_at": now()} | said])

    def close(self) -> None:
        self.run(self.service.close())


@contextmanager
def opened(folder: Path) -> Iterator[Home]:
    """Make such a home, in which every query looks for what changed."""
    with pytest.MonkeyPatch.context() as patch:
        toy.use(patch)
        patch.setattr(ModelSuite, "detector", lambda suite: _detector())
        patch.setattr(following, "_POLL_S", 0.0)
        patch.setattr(following, "_IDLE_S", 0.0)
        home = Home(Settings(home=folder, refuse_nonsense=False))
        fill(home.store, IN_EU, region="eu")
        fill(home.store, IN_US, region="us")
        publish(home.store, CHOICES, home.settings)
        patch.setattr(home.service._journal, "_patience_s", 0.0)
        home.run(home.service.start())
        yield home
        home.close()


@cache
def _detector() -> Detector:
    return Detector()


def ids(answer: dict[str, Any]) -> list[str]:
    return [result["item_id"] for result in answer["results"]]

"""What the ways of answering share: timed steps, and the last look at who may see what."""

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.rights import Caller
from pipelines.search.catalog import shown
from pipelines.search.retrieval import Timing
from pipelines.search.service import SearchService
from pipelines.search.views import View


class Steps:
    """The steps of an answer and their times, those of a second try included."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._timings: list[Timing] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Timing]:
        """Time a step."""
        started = time.perf_counter()
        timing = Timing(name, (started - self._begun) * 1000)
        self._timings.append(timing)
        yield timing
        timing.ms = (time.perf_counter() - started) * 1000

    def as_document(self) -> list[dict[str, Any]]:
        """Write them as the trace of a search is written."""
        return [timing.as_document() for timing in self._timings]


async def shown_now(
    service: SearchService, item_ids: Collection[str], caller: Caller | None
) -> set[str]:
    """Return those of a few items that are there and that a caller may see by now."""
    view: View = await service.view(caller)
    return await asyncio.to_thread(shown, view.searcher.store, item_ids, view.known)

"""Work that nobody waits for yet: a little at a time, and none where there is much to do."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from pipelines.progress import LOGGER

_AT_ONCE = 2
_AFTER_S = 0.02  # By then the answer before it was sent.


class Ahead:
    """Tasks of one event loop, of which `most` are at work; what comes beside these is dropped.

    They belong to no request: neither do they hold its place, nor write under its name.
    """

    def __init__(self, most: int = _AT_ONCE):
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Begin some work shortly; tells whether there was room for it."""
        if len(self._tasks) >= self._most:
            return False
        task = asyncio.create_task(_quietly(work), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Stop all work."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _quietly(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await asyncio.sleep(_AFTER_S)
    try:
        await work()
    except Exception as error:
        told = "what was to be ready ahead is not: %s"
        logging.getLogger(LOGGER).info(told, type(error).__name__)

"""How many requests are worked on at once. Who finds no slot in time is sent away, not queued."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from fastapi import HTTPException

P = ParamSpec("P")
T = TypeVar("T")


class _Slot:
    """One slot; it is free again when its request and all threads that it started are done."""

    def __init__(self, free: Callable[[], None]):
        self._free = free
        self._loop = asyncio.get_running_loop()
        self._users = 1

    def hold(self, work: Future[Any]) -> None:
        if self._users:
            self._users += 1
            work.add_done_callback(self._later)

    def drop(self) -> None:
        self._users -= 1
        if not self._users:
            self._free()

    def _later(self, _: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop is closed: so is the server
            self._loop.call_soon_threadsafe(self.drop)


_slot: ContextVar[_Slot | None] = ContextVar("slot", default=None)


class HoldingThreads(ThreadPoolExecutor):
    """Threads that hold the slot of the request that they work for.

    A thread cannot be stopped: one that goes on after its request was given up still takes a core.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start work, for the request of the calling task if there is one."""
        work = super().submit(fn, *args, **kwargs)
        if slot := _slot.get():
            slot.hold(work)
        return work


class Slots:
    """`concurrent` slots, for which requests wait at most `wait_s`.

    With those that wait or still come in, at most `waiting` more are let in.
    """

    def __init__(self, concurrent: int, waiting: int, wait_s: float):
        self._free = asyncio.Semaphore(concurrent)
        self._most = concurrent + waiting
        self._wait_s = wait_s
        self._inside = 0

    @contextmanager
    def entered(self) -> Any:
        """Let a request in; raises HTTPException (503) when there are too many."""
        if self._inside >= self._most:
            raise overloaded()
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Work in a slot; raises HTTPException (503) when none gets free in time."""
        try:
            # Without a time to wait, `wait_for` does not even look.
            if self._free.locked():
                await asyncio.wait_for(self._free.acquire(), self._wait_s)
            else:
                await self._free.acquire()
        except TimeoutError:
            raise overloaded() from None
        slot = _Slot(self._free.release)
        token = _slot.set(slot)
        try:
            yield
        finally:
            _slot.reset(token)
            slot.drop()


def overloaded(why: str = "this server has as much to do as it can") -> HTTPException:
    """Return the refusal of a request that there is no room for now."""
    return HTTPException(503, f"{why}; ask again later")

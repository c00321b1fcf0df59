"""Writing aside: what is added is written in batches by a thread, and nobody waits for it."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from pipelines.progress import LOGGER

T = TypeVar("T")

EVERY_S = 1.0
"""So long an entry waits for others to be written with."""
BATCH = 200
MOST = 1000
"""So many entries may wait; of more, the oldest are dropped."""


class Writer(Generic[T]):
    """Hands entries to `write`, up to `BATCH` at a time and at latest `EVERY_S` after they came.

    A batch that cannot be written is dropped. `dropped` counts the entries that were lost.
    """

    def __init__(self, write: Callable[[list[T]], None], every_s: float = EVERY_S):
        self._write = write
        self._every_s = every_s
        self._changed = threading.Condition()
        self._waiting: deque[T] = deque()
        self._writing: list[T] = []
        self._thread: threading.Thread | None = None
        self._hurried = 0
        self._closed = False
        self.dropped = 0

    def add(self, entry: T) -> None:
        """Leave an entry to be written; never blocks. After `close` it is dropped."""
        with self._changed:
            if self._closed or len(self._waiting) >= MOST:
                self.dropped += 1
            if self._closed:
                return
            if len(self._waiting) >= MOST:
                self._waiting.popleft()
            self._waiting.append(entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
                self._thread.start()
            if len(self._waiting) in (1, BATCH):
                self._changed.notify_all()

    def unwritten(self) -> list[T]:
        """Return what is not written yet, oldest first."""
        with self._changed:
            return [*self._writing, *self._waiting]

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Have everything written at once; tells whether that was done in time."""
        with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(self._is_idle, timeout_s)
            finally:
                self._hurried -= 1

    def close(self, timeout_s: float = 30.0) -> None:
        """Write what waits and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def lose(self, count: int, error: Exception) -> None:
        """Count entries that cannot be written; the text of an error may quote them."""
        told = "%d entries of the journal were lost: %s"
        logging.getLogger(LOGGER).warning(told, count, type(error).__name__)
        with self._changed:
            self.dropped += count

    def _is_idle(self) -> bool:
        return not self._waiting and not self._writing

    def _is_urgent(self) -> bool:
        return self._closed or self._hurried > 0 or len(self._waiting) >= BATCH

    def _run(self) -> None:
        while batch := self._taken():
            try:
                self._write(batch)
            except Exception as error:
                self.lose(len(batch), error)
            with self._changed:
                self._writing = []
                self._changed.notify_all()

    def _taken(self) -> list[T]:
        """Wait for a batch; empty once closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(self._is_urgent, self._every_s)
            count = min(BATCH, len(self._waiting))
            self._writing = [self._waiting.popleft() for _ in range(count)]
            return self._writing

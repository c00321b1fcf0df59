"""Indexing what was uploaded: by a child process that keeps its models, one run at a time."""

import asyncio
import json
import logging
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from pipelines.errors import MediadexError
from pipelines.progress import LOGGER


class IndexingFailed(MediadexError):
    """What was uploaded could not be indexed; it is tried again with the next upload or scan."""


class Child:
    """A command that works once for each line it is given, and answers with a line of JSON.

    It is started when it is first needed, and again when it has ended.
    """

    def __init__(self, command: Sequence[str]):
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __call__(self) -> None:
        """Let it work once, and wait. Raises IndexingFailed."""
        with self._lock:
            # One that had nothing to do for long ends, maybe just now.
            line = self._worked() or self._worked()
        if not line:
            raise IndexingFailed("the process that indexes uploads ended too early")
        if "error" in (answer := json.loads(line)):
            raise IndexingFailed(answer["error"])

    @property
    def pid(self) -> int | None:
        """The number of its process, `None` before the first call."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End it; what it has begun is taken up by the next run."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None

    def _worked(self) -> bytes:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        line = b""
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            # It says no more, but may take a while to be gone.
            self._end()
        return line


class Indexing:
    """Runs of `index`, one after another; whoever asks during one shares the next."""

    def __init__(self, index: Callable[[], None]):
        self._index = index
        self._last: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    def next_run(self) -> asyncio.Task[None]:
        """Return the next run that begins, which takes in all that was uploaded until now."""
        if self._next is None:
            self._next = asyncio.create_task(self._run(self._last))
        return self._next

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        self._last, self._next = self._next, None
        try:
            await asyncio.to_thread(self._index)
        except Exception as error:
            told = str(error) if isinstance(error, MediadexError) else type(error).__name__
            logging.getLogger(LOGGER).warning("uploads are not indexed: %s", told)

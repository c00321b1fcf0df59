"""Who may write: any number of writers together, or a purge alone, which removes files."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import MediadexError

_WAIT_S = 0.05


class HomeLock:
    """A lock on a root that is a local folder; the system releases it when its holder dies.

    On object stores there is no such lock: there, run purges and upkeep while nothing is written.
    """

    def __init__(self, root: str):
        self._path = None if "://" in root else Path(root) / "lock"

    @contextmanager
    def shared(self, timeout_s: float = 3600.0) -> Iterator[None]:
        """Hold the right to write, beside other writers. Do not nest an exclusive one within."""
        with self._held(fcntl.LOCK_SH, timeout_s):
            yield

    @contextmanager
    def exclusive(self, timeout_s: float = 3600.0) -> Iterator[None]:
        """Wait until nobody writes, and keep everyone out. Raises MediadexError after the time."""
        with self._held(fcntl.LOCK_EX, timeout_s):
            yield

    @contextmanager
    def _held(self, kind: int, timeout_s: float) -> Iterator[None]:
        if self._path is None:
            yield
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            deadline = time.monotonic() + timeout_s
            while True:
                try:
                    fcntl.flock(file, kind | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise MediadexError(
                            f"something else has been working on this home for {timeout_s:.0f} s; "
                            "wait for it to end and try again"
                        ) from None
                    time.sleep(_WAIT_S)
            yield


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Do something while no other process holds the lock of this file, which is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""Progress of long work, as log lines that both the terminal and the Dagster UI show."""

import logging
import time
from collections.abc import Callable

LOGGER = "mediadex"
_EVERY_S = 2.0


def clock(seconds: float) -> str:
    """Write a time within media as people read it: `1:02:03`, or `2:03` below an hour."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def reporter(label: str) -> Callable[[int, int], None]:
    """Return a callback for (done, total) that logs now and then, and when all is done."""
    started = time.monotonic()
    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _EVERY_S and done < total:
            return
        last = now
        rate = done / (now - started) if now > started else 0.0
        logging.getLogger(LOGGER).info("%s: %d of %d (%.1f a second)", label, done, total, rate)

    return report

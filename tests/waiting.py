"""Waiting for what goes on elsewhere: nothing but a failure ever takes as long as the patience."""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 120.0
"""Far above what anything here takes, however busy the machine is."""

_PAUSE_S = 0.005


def wait_until(true: Callable[[], object]) -> None:
    """Wait until something holds; fails where it does not in all that time."""
    ends = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends, f"still not so after {PATIENCE_S:g} s"
        time.sleep(_PAUSE_S)


async def until(true: Callable[[], object]) -> None:
    """As `wait_until`, within an event loop."""
    ends = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends, f"still not so after {PATIENCE_S:g} s"
        await asyncio.sleep(_PAUSE_S)

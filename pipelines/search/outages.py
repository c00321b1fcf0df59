"""How a storage is found to be away, and found again; meanwhile nothing is written to it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from copy import copy

from pipelines.errors import MediadexError, StorageAway
from pipelines.search.engines.lance import LanceEngine
from pipelines.search.hidden import Hidden, still_there
from pipelines.search.searcher import Searcher
from pipelines.store import Store
from pipelines.tables.lock import HomeLock

PATIENCE_S = 3.0
"""With a copy at hand, a storage that takes longer than this is away."""
PROBE_S = 1.0
"""It is looked for again after this time, and after twice as long each time."""
_MOST_PROBE_S = 30.0


def log_version(hidden: Hidden, seen: int | None) -> int | None:
    """Take in what expired, and return the version of the log of releases.

    Raises StorageAway where it cannot be read, or is gone and was `seen` before.
    """
    try:
        hidden.look_at_expiry()
        return still_there(hidden.store.releases, seen)
    except MediadexError:
        raise
    except Exception as error:
        raise StorageAway("the storage of this home cannot be read now") from error


async def can_be_read(searcher: Searcher) -> bool:
    """Tell whether the tables of a release can be opened and asked."""
    engine = LanceEngine(searcher.store, searcher.manifest)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await engine.open()
            asked = (table.query().limit(1).to_arrow() for table in engine.tables.values())
            await asyncio.gather(*asked)
    except Exception:
        return False
    return True


async def probe(attempt: Callable[[], Awaitable[None]]) -> None:
    """Try something until it raises no error, after longer and longer pauses."""
    pause = PROBE_S
    while True:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _MOST_PROBE_S)
        try:
            return await attempt()
        except Exception:
            continue


class WhileThere(HomeLock):
    """Lets nobody write to a storage that is away: that would begin another one in its place."""

    def __init__(self, store: Store):
        super().__init__(store.root)
        self._releases = store.releases

    @contextmanager
    def shared(self, timeout_s: float = 3600.0) -> Iterator[None]:
        """As in `HomeLock`; raises StorageAway."""
        if self._releases.version is None:
            raise StorageAway("the storage of this home is away, and nothing is written meanwhile")
        with super().shared(timeout_s):
            yield


def written_while_there(store: Store) -> Store:
    """Return the same store, to be written to only while it is there."""
    guarded = copy(store)
    guarded.lock = WhileThere(store)
    return guarded

"""Which release is searched now, and by whom which rows of it may be seen."""

import asyncio
import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from pipelines.errors import MediadexError
from pipelines.progress import LOGGER
from pipelines.recipes import digest_json
from pipelines.releases.log import require
from pipelines.rights import Caller, condition, governed
from pipelines.search.caches import Cache
from pipelines.search.engines.lance import both
from pipelines.search.engines.mirror import Mirror
from pipelines.search.engines.protocol import Allowed
from pipelines.search.hidden import Hidden
from pipelines.search.searcher import Searcher
from pipelines.settings import Settings
from pipelines.store import Store

_POLL_S = 0.5
_IDLE_S = 1.5
_HELD_S = 0.5
_RIGHTS = 256  # of different callers that are remembered


@dataclass(frozen=True)
class View:
    """What one query is answered from: a release, and which rows its caller may see.

    `allowed` is for the rows of that release, `known` for those of the table of items. `epoch` is
    another one whenever an item was hidden or is shown again.
    """

    searcher: Searcher
    allowed: Allowed
    known: Allowed
    epoch: str


class Following:
    """Follows the log of releases and the ledger, within one event loop.

    Queries look at the log at most every half second. While another release is opened and warmed,
    the last one goes on answering, except after a pause: then a query waits, so that no answer
    comes from a release that was replaced seconds ago. The ledger is looked at by every query.
    With `mirror_bytes`, a release is held in memory as far as these allow. The last one goes on
    answering for half a second meanwhile; where that takes longer, the tables of the new one do.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        expired: Callable[[], Sequence[str]] | None = None,
        mirror_bytes: int = 0,
        cache: Cache | None = None,
    ):
        self.hidden = Hidden(store, settings, expired)
        self.searcher: Searcher | None = None
        self.mirror: Mirror | None = None
        self._store = store
        self._settings = settings
        self._mirror_bytes = mirror_bytes
        self._cache = cache
        self._looking = threading.Lock()
        self._changed: LRUCache[tuple, frozenset[str]] = LRUCache(_RIGHTS)
        self._mirroring: asyncio.Task[None] | None = None
        self._seen: int | None = None
        self._polled = float("-inf")
        self._polling: asyncio.Task[None] | None = None
        self._awaited = True
        self._refreshing = asyncio.Lock()

    async def view(self, caller: Caller | None = None) -> View:
        """Return what to answer a caller from now; raises NotReleased before the first release."""
        erased = await asyncio.to_thread(self.hidden.look_at_ledger)
        if self._polling is None or self._polling.done():
            pause = time.monotonic() - self._polled
            if erased or pause > _POLL_S:
                self._awaited = pause > _IDLE_S
                self._polling = asyncio.create_task(self._poll())
        if self._polling is not None and self._awaited:
            await asyncio.shield(self._polling)
        assert self.searcher is not None  # the first poll was awaited, and raises without one
        if caller is None:
            return self.seen_by(None, self.searcher)
        return await asyncio.to_thread(self.seen_by, caller, self.searcher)

    def seen_by(self, caller: Caller | None, searcher: Searcher) -> View:
        """Return what a caller may see of a release that is open."""
        hidden, withdrawn = self.hidden.items, self._withdrawn(caller, searcher)
        # Rows know who consented when they were indexed; the ids, who changed their mind since.
        complete = self.hidden.is_complete
        consent = None if complete else governed(dt.datetime.now(dt.UTC))
        epoch = self.hidden.epoch
        if withdrawn:
            hidden, epoch = hidden | withdrawn, digest_json([epoch, sorted(withdrawn)])
        return View(
            searcher,
            Allowed(both(condition(caller, searcher.tables.columns), consent), hidden),
            Allowed(both(condition(caller), consent), self.hidden.items),
            epoch,
        )

    def _withdrawn(self, caller: Caller | None, searcher: Searcher) -> frozenset[str]:
        """Return the items that a caller may not see any more, of those changed since a release.

        A release knows the regions and groups of its time, also after a rollback.
        """
        rights = condition(caller)
        if rights is None:
            return frozenset()
        made = searcher.manifest.created_at
        key = (self.hidden.items_version, rights, made)
        with self._looking:
            if key not in self._changed:
                since = f"updated_at >= TIMESTAMP '{made.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}'"
                found = self._store.items.read(["item_id"], f"{since} AND NOT {rights}")
                self._changed[key] = frozenset(found["item_id"].to_pylist())
            return self._changed[key]

    async def refresh(self) -> None:
        """Take in what expired, and swap to the serving release once it is ready to answer."""
        async with self._refreshing:
            await asyncio.to_thread(self.hidden.look_at_expiry)
            version = await asyncio.to_thread(lambda: self._store.releases.version)
            if self.searcher is not None and version == self._seen:
                return
            manifest = await asyncio.to_thread(require, self._store)
            if self.searcher is None or manifest != self.searcher.manifest:
                searcher = Searcher(self._store, manifest, self._settings, self._cache)
                await searcher.warm()
                if self._mirror_bytes:
                    if self._mirroring is not None:
                        self._mirroring.cancel()
                    self._mirroring = asyncio.create_task(self._hold(searcher))
                    if self.searcher is not None and not self._awaited:
                        await asyncio.wait({self._mirroring}, timeout=_HELD_S)
                self.searcher = searcher
            self._seen = version

    async def mirrored(self) -> None:
        """Wait until the release is held in memory, where it is to be."""
        if self._mirroring is not None:
            await self._mirroring

    async def _hold(self, searcher: Searcher) -> None:
        try:
            mirror = await Mirror.built(searcher.tables, self._mirror_bytes, self.mirror)
        except Exception as error:
            told = "the release is answered from its tables, not from memory: %s"
            logging.getLogger(LOGGER).warning(told, type(error).__name__)
        else:
            searcher.engine = self.mirror = mirror

    async def _poll(self) -> None:
        """Refresh; a release that cannot be opened leaves the last one answering."""
        try:
            await self.refresh()
        except Exception as error:
            if self.searcher is None:
                raise
            what = str(error) if isinstance(error, MediadexError) else type(error).__name__
            logging.getLogger(LOGGER).warning("the last release goes on answering: %s", what)
        self._polled = time.monotonic()

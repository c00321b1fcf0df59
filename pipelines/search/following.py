"""Which release is searched now, in the storage or, while that is away, in a copy of it."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from pipelines.errors import MediadexError, StorageAway
from pipelines.progress import LOGGER
from pipelines.releases.log import require
from pipelines.rights import Caller
from pipelines.search.asked.query import Degraded
from pipelines.search.caches import Cache
from pipelines.search.engines.mirror import Mirror
from pipelines.search.hidden import AWAY, Hidden, still_there
from pipelines.search.outages import PATIENCE_S, can_be_read, log_version, probe
from pipelines.search.searcher import Searcher
from pipelines.search.trial import Trial
from pipelines.search.views import View, Views
from pipelines.settings import Settings
from pipelines.store import Store

_POLL_S = _WATCH_S = 0.25
_IDLE_S = 1.5
_HELD_S = 3.0


class Following:
    """Follows the log of releases and the ledger, within one event loop.

    Queries look at the log at most every quarter of a second. While another release is opened and
    warmed, the last one goes on answering, except after a pause: then a query waits, so that no
    answer comes from a release that was replaced seconds ago. Every query looks at the ledger.
    With `mirror_bytes`, a release is held in memory as far as these allow. The last one goes on
    answering meanwhile, for three seconds; where that takes longer, the tables of the new one do.

    With the setting `replica`, that copy answers while the storage cannot be read, or else what is
    in memory; what was known of the ledger last holds on. `away` says so. Without it there is no
    answer where the ledger is gone. A candidate may be on `trial` for some callers.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        expired: Callable[[], Sequence[str]] | None = None,
        mirror_bytes: int = 0,
        cache: Cache | None = None,
    ):
        self._home = Hidden(store, settings, expired)
        self._copy = (
            Hidden(Store(settings.replica), settings, of=self._home) if settings.replica else None
        )
        self.hidden = self._home
        self.searcher: Searcher | None = None
        self.mirror: Mirror | None = None
        self.trial = Trial(store, settings, cache)
        self._views = Views()
        self._settings = settings
        self._mirror_bytes = mirror_bytes
        self._cache = cache
        self._mirroring: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._idling: asyncio.Task[None] | None = None
        self._is_away = False
        self._seen: int | None = None
        self._asked = self._polled = float("-inf")
        self._polling: asyncio.Task[None] | None = None
        self._awaited = True
        self._hurry = asyncio.Event()
        self._refreshing = asyncio.Lock()

    @property
    def store(self) -> Store:
        """What is read from now: the storage, or its copy."""
        return self.hidden.store

    @property
    def reads_copy(self) -> bool:
        """Whether it is the copy."""
        return self.hidden is self._copy

    @property
    def away(self) -> Degraded | None:
        """What to say of the storage while it cannot be read."""
        if not self._is_away:
            return None
        what = "a copy of it" if self.reads_copy else "what is held in memory"
        return Degraded("input", "storage", f"it cannot be read, so {what} answers")

    async def view(self, caller: Caller | None = None, instead: Searcher | None = None) -> View:
        """Return what to answer a caller from now; raises NotReleased before the first release.

        It is the release that serves, or the one `instead` of it while that is on trial.
        """
        erased, now = await self._looked(), time.monotonic()
        quiet = self.searcher is None or now - self._asked > _IDLE_S
        self._asked = now
        if quiet:
            self._hurry.set()
            if self._polling is not None:
                # What goes on since before this query may have looked too early.
                await asyncio.shield(self._polling)
        due = erased or quiet or now - self._polled > _POLL_S
        if due and (self._polling is None or self._polling.done()):
            self._awaited = quiet
            if not quiet:
                self._hurry.clear()
            self._polling = asyncio.create_task(self._poll())
        if self._polling is not None and self._awaited:
            await asyncio.shield(self._polling)
        try:
            return await self._seen_now(caller, instead)
        except Exception as error:
            await self.lost(error)
            return await self._seen_now(caller)

    async def _seen_now(self, caller: Caller | None, instead: Searcher | None = None) -> View:
        on_trial = instead is not None and instead is self.trial.searcher
        searcher = instead if on_trial else self.searcher
        assert searcher is not None  # the first poll was awaited, and raises without one
        if caller is None:
            return self.seen_by(None, searcher)
        return await asyncio.to_thread(self.seen_by, caller, searcher)

    def seen_by(self, caller: Caller | None, searcher: Searcher) -> View:
        """Return what a caller may see of a release that is open."""
        return self._views.of(caller, searcher, self._side_of(searcher), self.away)

    def check(self, searcher: Searcher) -> None:
        """Raise StorageAway where what a release stands in is gone, which reads as empty."""
        still_there(searcher.store.releases, self._seen)
        still_there(searcher.store.items, self._side_of(searcher).items_version)

    def _side_of(self, searcher: Searcher) -> Hidden:
        sides = (each for each in (self._home, self._copy) if each is not None)
        return next(each for each in sides if each.store is searcher.store)

    async def hidden_now(self) -> frozenset[str]:
        """Return the ids of the items that nobody may see by now."""
        try:
            await self._look_at(self.hidden)
        except Exception:
            if self._copy is None:
                raise
            # The next query finds the storage away; this one goes by what was known last.
        return self.hidden.items

    async def refresh(self) -> None:
        """Take in what expired, and swap to the serving release once it is ready to answer."""
        async with self._refreshing:
            await self._take(self.hidden)

    async def recover(self, searcher: Searcher, error: Exception) -> None:
        """After a release failed to answer: take in what replaced it, or go to the copy.

        Raises what keeps the storage from being read, where there is no copy.
        """
        if searcher is self.trial.searcher:
            self.trial.fail(searcher.manifest, error)
            searcher = self.searcher or searcher
        try:
            await self.refresh()
        except Exception as reason:
            await self.lost(reason)
        else:
            if self.searcher is not searcher or await can_be_read(searcher):
                return
            if self._copy is None:
                raise StorageAway(AWAY) from error
            await self.lost(error)

    async def lost(self, error: Exception) -> None:
        """Answer from the copy, or from what is in memory; raises the error without either."""
        async with self._refreshing:
            if self._copy is None:
                raise error
            if self._is_away:
                return
            try:
                await self._take(self._copy)
            except Exception:
                if self.searcher is None:
                    raise error from None
            self._is_away = True
            self.trial.end()
            what = "the copy" if self.reads_copy else "what is held in memory"
            told = "the storage cannot be read (%s), so %s answers"
            logging.getLogger(LOGGER).warning(told, type(error).__name__, what)
            self._watching = asyncio.create_task(probe(self._back))

    def watch(self) -> None:
        """Follow also while nobody asks, so that the first who does finds all of it ready.

        Far storage is looked at by queries alone: a look costs a request there.
        """
        if "://" not in self._home.store.root:
            self._idling = asyncio.create_task(self._watch())

    async def mirrored(self) -> None:
        """Wait until the release is held in memory, where it is to be."""
        if self._mirroring is not None:
            await self._mirroring

    def close(self) -> None:
        """Follow nothing any more."""
        self.trial.end()
        for task in (self._watching, self._idling):
            if task is not None:
                task.cancel()

    def _look(self, hidden: Hidden) -> bool:
        if self._copy is None:
            return hidden.look_at_ledger()
        return hidden.look_within(PATIENCE_S)

    async def _look_at(self, hidden: Hidden) -> bool:
        """Look at the ledger in a thread, unless it is known at once that nothing is new.

        With a copy at hand, the storage may be one that hangs.
        """
        if self._copy is None and hidden.is_unchanged():
            return False
        return await asyncio.to_thread(self._look, hidden)

    async def _looked(self) -> bool:
        try:
            return await self._look_at(self.hidden)
        except Exception as error:
            await self.lost(error)
            return False

    async def _take(self, hidden: Hidden, anew: bool = False) -> None:
        """Swap to the serving release of a store, unless it is open and is not wanted `anew`."""
        here = hidden is self.hidden and not anew
        if not here:
            await self._look_at(hidden)
        version = await asyncio.to_thread(log_version, hidden, self._seen if here else None)
        if here and self.searcher is not None and version == self._seen:
            return
        manifest = await asyncio.to_thread(require, hidden.store)
        if not here or self.searcher is None or manifest != self.searcher.manifest:
            searcher = Searcher(hidden.store, manifest, self._settings, self._cache)
            await searcher.warm()
            if self._mirror_bytes:
                if self._mirroring is not None:
                    self._mirroring.cancel()
                self._mirroring = asyncio.create_task(self._hold(searcher))
                if self.searcher is not None:
                    await self._held_or_hurried(self._mirroring)
            self.searcher = searcher
        self.hidden, self._seen = hidden, version
        if hidden is self._home:
            self.trial.follow()

    async def _held_or_hurried(self, holding: asyncio.Task[None]) -> None:
        """Wait until a release is held in memory, for a while, unless somebody waits for it."""
        hurried = asyncio.create_task(self._hurry.wait())
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait({holding, hurried}, timeout=_HELD_S, return_when=first)
        hurried.cancel()

    async def _hold(self, searcher: Searcher) -> None:
        try:
            mirror = await Mirror.built(searcher.tables, self._mirror_bytes, self.mirror)
        except Exception as error:
            told = "the release is answered from its tables, not from memory: %s"
            logging.getLogger(LOGGER).warning(told, type(error).__name__)
        else:
            searcher.engine = self.mirror = mirror

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            if self._polling is None or self._polling.done():
                self._awaited = False
                self._hurry.clear()
                self._polling = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        """Refresh; a release that cannot be opened leaves the last one answering."""
        try:
            await self.refresh()
        except Exception as error:
            if self.searcher is None or (self._copy is not None and isinstance(error, StorageAway)):
                await self.lost(error)
            elif not self._is_away:
                what = str(error) if isinstance(error, MediadexError) else type(error).__name__
                logging.getLogger(LOGGER).warning("the last release goes on answering: %s", what)
        self._polled = time.monotonic()

    async def _back(self) -> None:
        """Go back to the storage; where that is not there yet, to the copy if that is now."""
        try:
            # A storage that does not answer must not keep queries waiting for the lock.
            await self._look_at(self._home)
            async with self._refreshing:
                await self._take(self._home, anew=True)
                self._is_away = False
        except Exception:
            if self._copy is not None and not self.reads_copy:
                async with self._refreshing:
                    await self._take(self._copy)
            raise
        logging.getLogger(LOGGER).warning("the storage can be read again, and answers")

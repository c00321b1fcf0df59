"""A candidate that waits for its promotion, opened beside the release that serves."""

import asyncio
import logging

from pipelines.errors import MediadexError
from pipelines.progress import LOGGER
from pipelines.releases import log
from pipelines.releases.manifest import Manifest
from pipelines.search.caches import Cache
from pipelines.search.searcher import Searcher
from pipelines.settings import Settings
from pipelines.store import Store


class Trial:
    """Opens the candidate that waits, where a share of the users is to try it.

    `searcher` is `None` while none is on trial. It asks the candidate's tables: only what serves
    is held in memory. One that cannot be opened, or fails, is told of once and left alone.
    """

    def __init__(self, store: Store, settings: Settings, cache: Cache | None = None):
        self.searcher: Searcher | None = None
        self._store = store
        self._settings = settings
        self._cache = cache
        self._failed: Manifest | None = None
        self._following: asyncio.Task[None] | None = None

    def follow(self) -> None:
        """Begin to look which candidate waits now; call it when the log of releases changed."""
        if self._settings.trial_candidate:
            self._stop_looking()
            self._following = asyncio.create_task(self._follow())

    def end(self) -> None:
        """Let nobody try anything until the log is followed again."""
        self._stop_looking()
        self.searcher = self._failed = None

    def fail(self, manifest: Manifest, error: Exception) -> None:
        """Leave a candidate alone that cannot answer."""
        self.searcher, self._failed = None, manifest
        what = str(error) if isinstance(error, MediadexError) else type(error).__name__
        told = "candidate %s is not on trial, its users get the serving release: %s"
        logging.getLogger(LOGGER).warning(told, manifest.release, what)

    async def _follow(self) -> None:
        manifest = None
        try:
            manifest = await asyncio.to_thread(_waiting, self._store)
            if self.searcher is not None and manifest == self.searcher.manifest:
                return
            self.searcher = None
            if manifest is None or manifest == self._failed:
                return
            searcher = Searcher(self._store, manifest, self._settings, self._cache)
            await searcher.warm()
            self.searcher = searcher
        except Exception as error:
            # A log that cannot be read is followed again with the storage itself.
            if manifest is not None:
                self.fail(manifest, error)

    def _stop_looking(self) -> None:
        if self._following is not None:
            self._following.cancel()


def _waiting(store: Store) -> Manifest | None:
    name = log.waiting(store)
    return log.manifests(store)[name] if name else None

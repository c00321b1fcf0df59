"""Searching the serving release, whichever that is: follows the log, and hides what must be."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from pipelines.errors import BadInput, MediadexError
from pipelines.progress import LOGGER
from pipelines.releases.log import require
from pipelines.search.answers import as_document
from pipelines.search.expansion import expand
from pipelines.search.hidden import Hidden
from pipelines.search.media import Upload, with_upload
from pipelines.search.query import Query
from pipelines.search.ranking import Answer
from pipelines.search.searcher import Searcher
from pipelines.settings import Settings
from pipelines.store import Store

_POLL_S = 0.5
_IDLE_S = 1.5


class View(NamedTuple):
    """What one query is answered from: a release, and the condition that hides rows of it."""

    searcher: Searcher
    hidden: str | None


class SearchService:
    """Answers from the serving release, within one event loop.

    Queries look at the log at most every half second. While another release is opened and warmed,
    the last one goes on answering, except after a pause: then a query waits, so that no answer
    comes from a release that was replaced seconds ago. The ledger is looked at by every query.
    Speech is recognised in `listeners` processes, with none in this one, which halts it meanwhile.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        expired: Callable[[], Sequence[str]] | None = None,
        listeners: int = 0,
    ):
        self._store = store
        self._settings = settings
        self._listeners = listeners
        self._hidden = Hidden(store, settings, expired)
        self._seen: int | None = None
        self._searcher: Searcher | None = None
        self._polled = float("-inf")
        self._polling: asyncio.Task[None] | None = None
        self._awaited = True
        self._refreshing = asyncio.Lock()

    async def view(self) -> View:
        """Return what to answer from now; raises NotReleased before the first release."""
        erased = await asyncio.to_thread(self._hidden.look_at_ledger)
        if self._polling is None or self._polling.done():
            pause = time.monotonic() - self._polled
            if erased or pause > _POLL_S:
                self._awaited = pause > _IDLE_S
                self._polling = asyncio.create_task(self._poll())
        if self._polling is not None and self._awaited:
            await asyncio.shield(self._polling)
        assert self._searcher is not None  # the first poll was awaited, and raises without one
        return View(self._searcher, self._hidden.condition)

    async def search(self, query: Query, uploads: Sequence[Upload] = ()) -> dict[str, Any]:
        """Answer a query, with what the uploaded files hold, in the form of the public contract.

        Raises BadInput, with the reasons, when nothing is left to ask with.
        """
        query = await asyncio.to_thread(self._understood, query, uploads)
        return as_document(await self._ask(lambda view: view.searcher.search(query, view.hidden)))

    def _understood(self, query: Query, uploads: Sequence[Upload]) -> Query:
        for upload in uploads:
            query = with_upload(query, upload, self._settings)
        if query.is_empty:
            reasons = "; ".join(each.reason for each in query.degraded)
            raise BadInput(reasons or "give a text, an image, a sound or a film to search by")
        return expand(query, self._settings, self._listeners)

    async def _ask(self, ask: Callable[[View], Awaitable[Answer]]) -> Answer:
        """Ask; when the table versions vanished meanwhile, once more on what replaced them."""
        view = await self.view()
        try:
            return await ask(view)
        except (OSError, RuntimeError, ValueError):
            await self._refresh()
            fresh = await self.view()
            if fresh.searcher is view.searcher:
                raise
            return await ask(fresh)

    async def _poll(self) -> None:
        """Refresh; a release that cannot be opened leaves the last one answering."""
        try:
            await self._refresh()
        except Exception as error:
            if self._searcher is None:
                raise
            what = str(error) if isinstance(error, MediadexError) else type(error).__name__
            logging.getLogger(LOGGER).warning("the last release goes on answering: %s", what)
        self._polled = time.monotonic()

    async def _refresh(self) -> None:
        """Take in what expired, and swap to the serving release once it is ready to answer."""
        async with self._refreshing:
            await asyncio.to_thread(self._hidden.look_at_expiry)
            version = await asyncio.to_thread(lambda: self._store.releases.version)
            if self._searcher is not None and version == self._seen:
                return
            manifest = await asyncio.to_thread(require, self._store)
            if self._searcher is None or manifest != self._searcher.manifest:
                searcher = Searcher(self._store, manifest)
                await searcher.warm()
                self._searcher = searcher
            self._seen = version

"""Queries of the past: why they were answered as they were, and what they would find again."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipelines.errors import Cleaned
from pipelines.privacy.pii import Detector
from pipelines.releases import log
from pipelines.rights import Caller
from pipelines.search import catalog
from pipelines.search.answers import as_document
from pipelines.search.engines.lance import both
from pipelines.search.engines.mirror import Mirror
from pipelines.search.following import Following
from pipelines.search.hops import Hop, leap
from pipelines.search.journal.explaining import explanation
from pipelines.search.journal.queries import Journal
from pipelines.search.journal.records import Record
from pipelines.search.journal.replay import difference, replayed_query
from pipelines.search.kept import Document
from pipelines.search.regions import regions
from pipelines.search.searcher import Searcher
from pipelines.search.taste import taste_then
from pipelines.search.views import View
from pipelines.settings import Settings


class Past:
    """Reads the journal, or its copy while the storage is away."""

    def __init__(
        self,
        settings: Settings,
        following: Following,
        journal: Journal,
        detector: Callable[[], Detector],
    ):
        self._settings = settings
        self._following = following
        self._journal = journal
        self._detector = detector

    async def record(self, query_id: str, caller: Caller | None) -> Record | None:
        """Return a query; `None` for one that is not that of a caller with that pseudonym."""
        journal = self._journal
        if self._following.reads_copy:
            # Nothing is written to a copy that could be waited for.
            journal = Journal(self._following.store, self._detector, patience_s=0.0)
        return await journal.get(query_id, caller)

    async def explain(self, found: Record, view: View) -> Document:
        """Tell why an answer was as it was, without items that may not be seen now."""
        store = self._following.store
        shown = await asyncio.to_thread(catalog.shown, store, found.items, view.known)
        told = explanation(found, found.items - shown)
        boxes = await asyncio.to_thread(regions, store, told["results"])
        for result in told["results"]:
            result["regions"] = boxes.get(result["item_id"], [])
        return told

    async def replay(
        self, found: Record, caller: Caller | None, serving: Searcher
    ) -> Document | None:
        """Ask the same again of the release that answered, and tell what differs.

        `None` for a repeated answer whose first query is not on record any more. Raises Cleaned for
        a release whose tables are gone.
        """
        if found.answer["cached"] and found.first is None:
            return None
        query, given, then = replayed_query(found)
        searcher = await self._opened(found.release, serving)
        view, past = (self._following.seen_by(each, searcher) for each in (caller, then))
        hop, hidden = found.request.get("hop"), view.allowed.hidden
        # More like an item is asked for without it; a hop may find what it was asked with.
        hidden |= frozenset() if hop else frozenset(given.like or ())
        where = both(view.allowed.where, past.allowed.where)
        engine = searcher.engine if found.answer["engine"] == "mirror" else searcher.tables
        allowed = replace(view.allowed, where=where, hidden=hidden)
        known: dict[str, Any] = {
            "given": given,
            "engine": engine,
            "at": (found.first or found).at,
            "taste": taste_then(found),
        }
        if hop:
            answer, _ = await leap(searcher, query, Hop(**hop), allowed, **known)
        else:
            answer = await searcher.answer(query, allowed, **known)
        return difference(found, as_document(answer, found.query_id))

    async def _opened(self, release: str, serving: Searcher) -> Searcher:
        """Open the release that answered; memory rounds similarities, so it is held again too."""
        if release == serving.manifest.release:
            return serving
        store = self._following.store
        manifests = await asyncio.to_thread(lambda: log.read(store).manifests)
        if release not in manifests:
            raise Cleaned(f"{release} cannot be asked any more: it is not in the log of releases")
        searcher = await Searcher.of_past(store, manifests[release], self._settings)
        if self._settings.mirror_bytes:
            searcher.engine = await Mirror.built(searcher.tables, self._settings.mirror_bytes)
        return searcher

"""What applications ask of a home: search, more like an item, why, again, and how it was judged."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pipelines.errors import MediadexError
from pipelines.models.suite import ModelSuite
from pipelines.releases import log
from pipelines.rights import Caller, fingerprint, pseudonym, secret_of
from pipelines.search import catalog
from pipelines.search.answers import as_document
from pipelines.search.asked.media import Upload
from pipelines.search.asked.query import AUTO, Query
from pipelines.search.caches import Cache, MemoryCache, RedisCache, SemanticCache, key_of
from pipelines.search.engines.lance import both
from pipelines.search.engines.mirror import Mirror
from pipelines.search.following import Following, View
from pipelines.search.fusion.scores import ids_of
from pipelines.search.hops import HOPS, Hop, travel
from pipelines.search.journal.explaining import explanation
from pipelines.search.journal.feedback import Feedback, Kind
from pipelines.search.journal.queries import Journal, new_id
from pipelines.search.journal.records import Record, recorded, repeated
from pipelines.search.journal.replay import difference, replayed_query
from pipelines.search.like import probes_of
from pipelines.search.regions import regions
from pipelines.search.retrieval import Retrieval, run
from pipelines.search.searcher import Searcher
from pipelines.search.stages import ANSWERING, ASKING
from pipelines.settings import Settings
from pipelines.store import Store

Document = dict[str, Any]
Answered = tuple[Document, list[str]]
"""An answer, and the ids of all items that were candidates for it."""


class SearchService:
    """Answers from the serving release, within one event loop and the rights of who asks.

    `caller` is who asks, `None` the operator. Speech is recognised in `listeners` processes, with
    none in this one, which halts it meanwhile. With `mirror`, a release is held in memory as far as
    `settings.mirror_bytes` allows; with `journal`, what was asked and answered is written down.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        expired: Callable[[], Sequence[str]] | None = None,
        *,
        listeners: int = 0,
        mirror: bool = False,
        journal: bool = False,
    ):
        self._store = store
        self._settings = settings
        self._listeners = listeners
        self._cache: Cache = RedisCache(settings.redis) if settings.redis else MemoryCache()
        self._alike = SemanticCache(self._cache) if settings.semantic_cache else None
        self._following = Following(
            store, settings, expired, settings.mirror_bytes if mirror else 0, self._cache
        )
        self._live = catalog.LiveValues(store, settings.live_keys)
        self._journal = Journal(store, ModelSuite.chosen_by(settings).detector) if journal else None
        self._feedback = Feedback(store, self._journal) if self._journal else None

    async def start(self) -> None:
        """Open the serving release, and hold it in memory where that is wanted.

        Raises NotReleased before the first release.
        """
        await self.view()
        await self._following.mirrored()

    async def close(self) -> None:
        """Write what waits to be written."""
        for writer in (self._feedback, self._journal):
            if writer is not None:
                await asyncio.to_thread(writer.close)

    async def view(self, caller: Caller | None = None) -> View:
        """Return what to answer a caller from now; raises NotReleased before the first release."""
        return await self._following.view(caller)

    async def search(
        self,
        query: Query,
        uploads: Sequence[Upload] = (),
        caller: Caller | None = None,
        *,
        facets: bool = False,
    ) -> Document:
        """Answer a query, with what the uploaded files hold, in the form of the public contract.

        Raises BadInput, with the reasons, when nothing is left to ask with.
        """
        query = self._on_trial(query, caller)

        async def ask(view: View) -> Answered:
            key = _key(query, view, caller) if not uploads and _is_text(query) else None
            if key and (known := self._cache.get("results", key)):
                return await self._again(known, query, caller, "results")
            asked = await view.searcher.answer(
                query,
                view.allowed,
                ASKING,
                uploads=uploads,
                listeners=self._listeners,
                hidden_now=self._hidden_now,
            )
            alike = _Alike(self._alike, asked, _scope(query, view, caller)) if key else None
            if alike and (known := alike.get()):
                return await self._again(known, query, caller, "semantic")
            document, found = self._recorded(await run(asked, ANSWERING), caller)
            if key and not document["degraded"]:
                value = json.dumps([document, found]).encode()
                self._cache.set("results", key, value)
                if alike:
                    alike.set(value)
            return document, found

        return await self._told(await self._retried(ask, caller), facets)

    async def similar(
        self, item_id: str, query: Query, caller: Caller | None = None, *, facets: bool = False
    ) -> Document | None:
        """Find what is like an item in every channel that it has; `None` where it is not seen."""

        async def ask(view: View) -> Answered | None:
            if not await asyncio.to_thread(catalog.is_shown, self._store, item_id, view.known):
                return None
            given = await probes_of(view.searcher, [item_id], query)
            others = replace(view.allowed, hidden=view.allowed.hidden | {item_id})
            answer = await view.searcher.answer(
                query, others, given=given, hidden_now=self._hidden_now
            )
            return self._recorded(answer, caller, like=item_id)

        answered = await self._retried(ask, caller)
        return await self._told(answered, facets) if answered else None

    async def hops(
        self, query: Query, hops: Sequence[Hop] = HOPS, caller: Caller | None = None
    ) -> Document | None:
        """Ask in several hops, each with what the last one found; `hops` tells where each led.

        `None` where nothing passed a threshold.
        """

        async def ask(view: View) -> Answered | None:
            led = await travel(
                view.searcher, query, hops, allowed=view.allowed, hidden_now=self._hidden_now
            )
            if led.answer is None:
                return None
            document, found = self._recorded(led.answer, caller)
            return document | {"hops": led.trace}, found

        answered = await self._retried(ask, caller)
        return await self._told(answered, False) if answered else None

    async def item(self, item_id: str, caller: Caller | None = None) -> Document | None:
        """Describe an item: attributes, origins, segments; `None` where it is not seen."""
        view = await self.view(caller)
        item = await asyncio.to_thread(catalog.describe, self._store, item_id, view.known)
        if item is None:
            return None
        live = await asyncio.to_thread(self._live.of, [item_id])
        return item | {"release": view.searcher.manifest.release, "live": live.get(item_id, {})}

    async def explain(self, query_id: str, caller: Caller | None = None) -> Document | None:
        """Tell why an answer was as it was; `None` for a query that is not the caller's."""
        found = await self._record(query_id, caller)
        if found is None:
            return None
        view = await self.view(caller)
        shown = await asyncio.to_thread(catalog.shown, self._store, found.items, view.known)
        told = explanation(found, found.items - shown)
        boxes = await asyncio.to_thread(regions, self._store, told["results"])
        for result in told["results"]:
            result["regions"] = boxes.get(result["item_id"], [])
        return told

    async def replay(self, query_id: str, caller: Caller | None = None) -> Document | None:
        """Ask the same again of the release that answered, and tell what differs.

        Rights are those of then and of now together. `None` for a query that is not the caller's;
        raises MediadexError for a release whose tables were cleaned.
        """
        found = await self._record(query_id, caller)
        if found is None:
            return None
        query, given, then = replayed_query(found)
        now = await self.view(caller)
        searcher = await self._opened(found.release, now.searcher)
        view, past = (self._following.seen_by(each, searcher) for each in (caller, then))
        hidden = view.allowed.hidden | ({found.request["like"]} - {None})
        allowed = replace(view.allowed, where=both(view.allowed.where, past.allowed.where))
        engine = searcher.engine if found.answer["engine"] == "mirror" else searcher.tables
        answer = await searcher.answer(
            query, replace(allowed, hidden=hidden), given=given, engine=engine, at=found.at
        )
        return difference(found, as_document(answer, query_id))

    async def feedback(
        self, query_id: str, item_id: str, kind: Kind, caller: Caller | None = None
    ) -> None:
        """Note what a caller made of a result. Raises BadInput for what they were not shown."""
        if self._feedback is None:
            raise MediadexError("nothing is written down here, so there is nothing to judge")
        user = caller.user and self.pseudonym(caller.user) if caller else None
        await asyncio.to_thread(self._feedback.add, query_id, item_id, kind, None, user)

    def pseudonym(self, user: str) -> str:
        """Return what stands for a user wherever something is written."""
        return pseudonym(user, secret_of(self._settings.home))

    def stats(self) -> Document:
        """Return counts: of the caches, the journal and what is held in memory."""
        searcher, mirror = self._following.searcher, self._following.mirror
        lost = sum(each.dropped for each in (self._journal, self._feedback) if each)
        return {
            "release": searcher.manifest.release if searcher else None,
            "caches": self._cache.stats(),
            "journal": {"dropped": lost},
            "mirror": {
                "bytes": mirror.nbytes if mirror else 0,
                "channels": sorted(mirror.covers) if mirror else [],
            },
        }

    def _on_trial(self, query: Query, caller: Caller | None) -> Query:
        """Give some users another profile: always the same ones, and never one who chose one."""
        trial = self._settings.trial_profile
        if not trial or query.profile != AUTO or caller is None or caller.user is None:
            return query
        place = int(self.pseudonym(f"{trial} {caller.user}"), 16) / 16**16
        return replace(query, profile=trial) if place < self._settings.trial_share else query

    def _named(self, caller: Caller | None) -> Caller | None:
        """Put a pseudonym in the place of who asks."""
        if caller is None or caller.user is None:
            return caller
        return caller.model_copy(update={"user": self.pseudonym(caller.user)})

    def _recorded(
        self, answer: Retrieval, caller: Caller | None, like: str | None = None
    ) -> Answered:
        document = as_document(answer, new_id())
        if self._journal is not None:
            self._journal.add(recorded(answer, document, self._named(caller), like))
        return document, ids_of(answer.ranked)

    async def _again(
        self, known: bytes, query: Query, caller: Caller | None, level: str
    ) -> Answered:
        """Answer with what was answered before, as a query of its own."""
        document, found = json.loads(known)
        first, hidden = document["query_id"], await asyncio.to_thread(self._hidden_now)
        results = [
            # Another one's words may have been asked before.
            each | {"matched": [word for word in each["matched"] if word in (query.typed or "")]}
            for each in document["results"]
            if each["item_id"] not in hidden
        ]
        asked = document["asked"] | {"text": query.words, "reworded": None}
        document |= {"query_id": new_id(), "cached": level, "trace": [], "results": results}
        document["asked"] = asked
        if self._journal is not None:
            self._journal.add(repeated(query, document, first, self._named(caller)))
        return document, found

    async def _told(self, answered: Answered, facets: bool) -> Document:
        """Add what is taken from now and not from a release."""
        document, found = answered
        shown = [result["item_id"] for result in document["results"]]
        live = await asyncio.to_thread(self._live.of, shown)
        results = [each | {"live": live.get(each["item_id"], {})} for each in document["results"]]
        counted = await asyncio.to_thread(catalog.facets, self._store, found) if facets else None
        return document | {"results": results} | ({"facets": counted} if facets else {})

    async def _record(self, query_id: str, caller: Caller | None) -> Record | None:
        if self._journal is None:
            raise MediadexError("nothing is written down here, so there is nothing to explain")
        found = await asyncio.to_thread(self._journal.get, query_id)
        return found if found is not None and found.is_of(self._named(caller)) else None

    async def _opened(self, release: str, serving: Searcher) -> Searcher:
        """Open the release that answered; memory rounds similarities, so it is held again too."""
        if release == serving.manifest.release:
            return serving
        manifests = await asyncio.to_thread(lambda: log.read(self._store).manifests)
        searcher = Searcher(self._store, manifests[release], self._settings)
        try:
            await searcher.tables.open()
            if self._settings.mirror_bytes:
                searcher.engine = await Mirror.built(searcher.tables, self._settings.mirror_bytes)
        except (OSError, RuntimeError, ValueError) as error:
            raise MediadexError(f"{release} cannot be asked any more: it was cleaned") from error
        return searcher

    async def _retried(self, ask: Callable[[View], Awaitable[Any]], caller: Caller | None) -> Any:
        """Ask; when the table versions vanished meanwhile, once more on what replaced them."""
        view = await self.view(caller)
        try:
            return await ask(view)
        except (OSError, RuntimeError, ValueError):
            await self._following.refresh()
            fresh = await self.view(caller)
            if fresh.searcher is view.searcher:
                raise
            return await ask(fresh)

    def _hidden_now(self) -> frozenset[str]:
        self._following.hidden.look_at_ledger()
        return self._following.hidden.items


class _Alike:
    """The answers of queries that meant the same as one that was encoded just now."""

    def __init__(self, cache: SemanticCache | None, asked: Retrieval, scope: str):
        texts = (each for each in asked.encoded.probes.values() if each.medium == "text")
        self._probe = next(texts, None)
        self._cache, self._scope, self._text = cache, scope, asked.query.typed or ""

    def get(self) -> bytes | None:
        if self._cache is None or self._probe is None:
            return None
        return self._cache.get(self._scope, self._text, self._probe.vector)

    def set(self, value: bytes) -> None:
        if self._cache is not None and self._probe is not None:
            self._cache.set(self._scope, self._text, self._probe.vector, value)


def _is_text(query: Query) -> bool:
    return bool(query.typed) and not query.pictures and query.sound is None


def _key(query: Query, view: View, caller: Caller | None) -> str:
    """Return the key of an answer: all that it depends on."""
    return key_of(_scope(query, view, caller), query.typed)


def _scope(query: Query, view: View, caller: Caller | None) -> str:
    asked = [query.k, query.offset, query.where, query.profile, query.plan, query.diversity]
    # A purge writes a release anew under its name.
    release = view.searcher.manifest.model_dump(mode="json")
    return key_of(
        release, view.epoch, fingerprint(caller), asked, query.reranker, list(query.channels)
    )

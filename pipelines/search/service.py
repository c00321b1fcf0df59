"""What applications ask of a home: search, more like an item, why, again, and how it was judged."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from pipelines.errors import MediadexError, StorageAway
from pipelines.models.suite import ModelSuite
from pipelines.rights import Caller, pseudonym, secret_of
from pipelines.search import catalog
from pipelines.search.answers import as_document
from pipelines.search.asked.media import Upload
from pipelines.search.asked.query import AUTO, Query
from pipelines.search.caches import Cache, MemoryCache, RedisCache
from pipelines.search.following import Following
from pipelines.search.hops import HOPS, Hop, Journey, travel
from pipelines.search.journal.feedback import Feedback, Kind
from pipelines.search.journal.queries import Journal, new_id
from pipelines.search.journal.records import recorded, repeated
from pipelines.search.kept import Answered, Document, Kept, Question
from pipelines.search.like import probes_of
from pipelines.search.outages import written_while_there
from pipelines.search.pages import Pages
from pipelines.search.past import Past
from pipelines.search.retrieval import Retrieval, run
from pipelines.search.stages import ANSWERING, ASKING
from pipelines.search.taste import taste_of
from pipelines.search.views import View
from pipelines.search.words import matched
from pipelines.settings import Settings
from pipelines.store import Store


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
        self._settings = settings
        self._listeners = listeners
        self._cache: Cache = RedisCache(settings.redis) if settings.redis else MemoryCache()
        self._kept = Kept(self._cache, settings.semantic_cache)
        self._following = Following(
            store, settings, expired, settings.mirror_bytes if mirror else 0, self._cache
        )
        self._pages = Pages(self._kept, self._following.hidden_now)
        self._live: dict[str, catalog.LiveValues] = {}
        self._journal: Journal | None = None
        self._unheard = 0
        if journal:
            written, detector = written_while_there(store), ModelSuite.chosen_by(settings).detector
            self._journal = Journal(written, detector)
            self._feedback = Feedback(written, self._journal)
            self._past = Past(settings, self._following, self._journal, detector)

    async def start(self) -> None:
        """Open the serving release, and hold it in memory where that is wanted.

        Raises NotReleased before the first release.
        """
        await self.view()
        await self._following.mirrored()
        self._following.watch()
        if self._journal is not None and not self._following.away:
            await asyncio.to_thread(lambda: self._secret)

    async def close(self) -> None:
        """Write what waits to be written, and stop what works ahead."""
        self._following.close()
        await self._pages.close()
        if self._journal is not None:
            await asyncio.to_thread(self._feedback.close)
            await asyncio.to_thread(self._journal.close)

    async def view(self, caller: Caller | None = None) -> View:
        """Return what to answer a caller from now; raises NotReleased before the first release.

        Some callers get the candidate that waits, while the setting `trial_candidate` says so.
        """
        trial = self._following.trial.searcher
        share = self._settings.trial_candidate
        tries = trial is not None and self._drawn(trial.manifest.release, caller, share)
        return await self._following.view(caller, trial if tries else None)

    @property
    def store(self) -> Store:
        """What answers are read from now: the storage of the home or, while it is away, a copy."""
        return self._following.store

    @property
    def stands_in(self) -> Literal["replica", "memory"] | None:
        """What answers in the place of a storage that cannot be read; `None` while it can be."""
        if not self._following.away:
            return None
        return "replica" if self._following.reads_copy else "memory"

    @property
    def cache(self) -> Cache:
        """What is kept for a while, by level."""
        return self._cache

    async def reading(self, ask: Callable[[View], Awaitable[Any]], caller: Caller | None) -> Any:
        """Do what `ask` does with what a caller is answered from; again where that was replaced."""
        return await self._retried(ask, caller)

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
        is_text = bool(query.typed) and not (uploads or query.pictures or query.sound)

        async def ask(view: View) -> Answered:
            taste = await taste_of(self.store, self._settings, view.known, self._named(caller))
            question = Question(query, view, caller, taste) if is_text else None
            if question and (known := self._kept.get(question)):
                self._pages.prepare(question, known)
                return await self._again(known, query, caller, "results")
            asked = await view.searcher.answer(
                query,
                view.allowed,
                ASKING,
                uploads=uploads,
                listeners=self._listeners,
                hidden_now=self._following.hidden_now,
                taste=taste,
            )
            if question and (known := self._kept.get_alike(question, asked.encoded)):
                return await self._again(known, query, caller, "semantic")
            encoded = asked.encoded
            answered = self._recorded(await run(asked, ANSWERING), caller)
            if question:
                self._kept.keep(question, answered, encoded)
                self._pages.prepare(question, answered, asked)
            return answered

        return await self._retried(self._telling(query, ask, facets), caller)

    async def similar(
        self, item_id: str, query: Query, caller: Caller | None = None, *, facets: bool = False
    ) -> Document | None:
        """Find what is like an item in every channel that it has; `None` where it is not seen."""

        async def ask(view: View) -> Answered | None:
            if not await asyncio.to_thread(catalog.is_shown, self.store, item_id, view.known):
                return None
            given = await probes_of(view.searcher, [item_id], query)
            others = replace(view.allowed, hidden=view.allowed.hidden | {item_id})
            answer = await view.searcher.answer(
                query, others, given=given, hidden_now=self._following.hidden_now
            )
            return self._recorded(answer, caller)

        return await self._retried(self._telling(query, ask, facets), caller)

    async def hops(
        self,
        query: Query,
        hops: Sequence[Hop] = HOPS,
        caller: Caller | None = None,
        *,
        facets: bool = False,
    ) -> Document | None:
        """Ask in several hops, each with what the last one found; `hops` tells where each led.

        `None` where nothing passed a threshold.
        """

        async def ask(view: View) -> Answered | None:
            led = await travel(
                view.searcher,
                query,
                hops,
                allowed=view.allowed,
                hidden_now=self._following.hidden_now,
            )
            return self._recorded(led.answer, caller, led) if led.answer else None

        return await self._retried(self._telling(query, ask, facets), caller)

    async def item(self, item_id: str, caller: Caller | None = None) -> Document | None:
        """Describe an item: attributes, origins, segments; `None` where it is not seen."""

        async def ask(view: View) -> Document | None:
            item = await asyncio.to_thread(catalog.describe, self.store, item_id, view.known)
            if item is None:
                return None
            live = await self._live_of([item_id])
            return item | {"release": view.searcher.manifest.release, "live": live.get(item_id, {})}

        return await self._retried(ask, caller)

    async def explain(self, query_id: str, caller: Caller | None = None) -> Document | None:
        """Tell why an answer was as it was; `None` for a query that is not the caller's."""
        past = self._remembered()
        found = await past.record(query_id, self._named(caller))
        if found is None:
            return None
        return await self._retried(lambda view: past.explain(found, view), caller)

    async def replay(self, query_id: str, caller: Caller | None = None) -> Document | None:
        """Ask the same again of the release that answered, and tell what differs.

        Rights are those of then and of now together. `None` for a query that is not the caller's,
        or a repeated answer whose first query is gone. Raises Cleaned for a release whose tables
        are gone.
        """
        past = self._remembered()
        found = await past.record(query_id, self._named(caller))
        if found is None:
            return None
        return await self._retried(lambda view: past.replay(found, caller, view.searcher), caller)

    async def feedback(
        self, query_id: str, item_id: str, kind: Kind, caller: Caller | None = None
    ) -> None:
        """Note what a caller made of a result. Raises BadInput for what they were not shown."""
        self._remembered()
        if self._following.away:
            self._unheard += 1
            return
        await self._feedback.add(query_id, item_id, kind, caller=self._named(caller))

    def _remembered(self) -> Past:
        if self._journal is None:
            raise MediadexError(
                "nothing is written down here, so there is nothing to tell or judge"
            )
        return self._past

    def pseudonym(self, user: str) -> str:
        """Return what stands for a user wherever something is written."""
        return pseudonym(user, self._secret)

    @cached_property
    def _secret(self) -> bytes:
        return secret_of(self._settings.home)

    def stats(self) -> Document:
        """Return counts: of the caches, the journal and what is held in memory."""
        searcher, mirror = self._following.searcher, self._following.mirror
        lost = self._journal.dropped + self._feedback.dropped if self._journal else 0
        trial = self._following.trial.searcher
        return {
            "release": searcher.manifest.release if searcher else None,
            "caches": self._cache.stats(),
            "journal": {"dropped": lost + self._unheard},
            "stands_in": self.stands_in,
            "trial": trial.manifest.release if trial else None,
            "mirror": {
                "bytes": mirror.nbytes if mirror else 0,
                "channels": sorted(mirror.covers) if mirror else [],
            },
        }

    def _on_trial(self, query: Query, caller: Caller | None) -> Query:
        """Give some users another profile: always the same ones, and never one who chose one."""
        trial = self._settings.trial_profile
        if not trial or query.profile != AUTO:
            return query
        share = self._settings.trial_share
        return replace(query, profile=trial) if self._drawn(trial, caller, share) else query

    def _drawn(self, trial: str, caller: Caller | None, share: float) -> bool:
        """Tell whether a caller is of the share of users that gets something on trial."""
        if caller is None or caller.user is None:
            return False
        return int(self.pseudonym(f"{trial} {caller.user}"), 16) / 16**16 < share

    def _named(self, caller: Caller | None) -> Caller | None:
        """Put a pseudonym in the place of who asks."""
        if caller is None or caller.user is None:
            return caller
        return caller.model_copy(update={"user": self.pseudonym(caller.user)})

    def _recorded(
        self, answer: Retrieval, caller: Caller | None, led: Journey | None = None
    ) -> Answered:
        document = as_document(answer, new_id()) | ({"hops": led.trace} if led else {})
        if self._journal is not None:
            hop = led.hop if led else None
            self._journal.add(recorded(answer, document, self._named(caller), hop))
        return document, answer.found

    async def _again(
        self, known: Answered, query: Query, caller: Caller | None, level: str
    ) -> Answered:
        """Answer with what was answered before, as a query of its own."""
        document, found = known
        first = document["query_id"]
        hidden = await self._following.hidden_now()
        results = [each for each in document["results"] if each["item_id"] not in hidden]
        if document["asked"]["text"] != query.words:
            words = query.literal or ""
            results = [
                each | {"matched": matched(words, " ".join(each["matched"]))} for each in results
            ]
        asked = document["asked"] | {"text": query.words, "reworded": None}
        document |= {"query_id": new_id(), "cached": level, "trace": [], "results": results}
        document["asked"] = asked
        if self._journal is not None:
            self._journal.add(repeated(query, document, first, self._named(caller)))
        return document, found

    def _telling(
        self,
        query: Query,
        ask: Callable[[View], Awaitable[Answered | None]],
        facets: bool = False,
    ) -> Callable[[View], Awaitable[Any]]:
        """Return what asks, and adds what is taken from now and not from a release."""

        async def told(view: View) -> Document | None:
            if (answered := await ask(view)) is None:
                return None
            document, found = answered
            results = await self._passing(document["results"], query.where, view)
            live = await self._live_of([each["item_id"] for each in results])
            now = {
                "degraded": document["degraded"] + ([view.away.as_document()] if view.away else []),
                "results": [each | {"live": live.get(each["item_id"], {})} for each in results],
            }
            if facets:
                now["facets"] = await asyncio.to_thread(catalog.facets, self.store, found)
            return document | now

        return told

    async def _passing(
        self, results: Sequence[Document], where: str | None, view: View
    ) -> Sequence[Document]:
        """Return the results that a filter on live keys lets pass now, too."""
        if not where or not self._live_now.are_named_in(where):
            return results
        ids = [each["item_id"] for each in results]
        passing = await asyncio.to_thread(self._live_now.passing, ids, where, view.known)
        return [each for each in results if each["item_id"] in passing]

    @property
    def _live_now(self) -> catalog.LiveValues:
        store, keys = self.store, self._settings.live_keys
        return self._live.setdefault(store.root, catalog.LiveValues(store, keys))

    async def _live_of(self, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        live = self._live_now
        if not self._settings.replica and live.is_current():
            return live.of(item_ids)
        return await asyncio.to_thread(live.of, item_ids)

    async def _retried(self, ask: Callable[[View], Awaitable[Any]], caller: Caller | None) -> Any:
        """Ask; when the table versions vanished meanwhile, once more on what replaced them."""
        view = await self.view(caller)
        try:
            if (answered := await ask(view)) is None:
                await asyncio.to_thread(self._following.check, view.searcher)
            return answered
        except Exception as error:
            if isinstance(error, MediadexError) and not isinstance(error, StorageAway):
                raise
            await self._following.recover(view.searcher, error)
            fresh = await self.view(caller)
            if fresh.searcher is view.searcher:
                raise
            return await ask(fresh)

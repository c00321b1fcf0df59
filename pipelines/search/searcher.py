"""One release, opened: its manifest, the models that its channels need, and what finds rows."""

import asyncio
import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pipelines.errors import Cleaned, ModelUnavailable
from pipelines.progress import LOGGER
from pipelines.recipes import digest_json
from pipelines.releases.manifest import Manifest
from pipelines.search.asked.encoding import ChannelEncoders
from pipelines.search.asked.media import Upload
from pipelines.search.asked.query import Query
from pipelines.search.caches import Cache
from pipelines.search.engines.lance import LanceEngine
from pipelines.search.engines.protocol import EVERYTHING, Allowed, Engine
from pipelines.search.fusion.profiles import BM25
from pipelines.search.retrieval import Retrieval, Stage, run
from pipelines.search.routing import Router
from pipelines.search.stages import STAGES
from pipelines.settings import Settings
from pipelines.store import Store

_ANY = "1"


class Searcher:
    """Answers from the exact table versions of one release.

    To be used within one event loop, by any number of tasks. `engine` may be replaced by a faster
    one over the same tables.
    """

    def __init__(
        self, store: Store, manifest: Manifest, settings: Settings, cache: Cache | None = None
    ):
        self.store = store
        self.manifest = manifest
        self.settings = settings
        self.encoders = ChannelEncoders(manifest.channels, cache)
        self.tables = LanceEngine(store, manifest)
        self.engine: Engine = self.tables
        self._routing: asyncio.Task[Router] | None = None

    @classmethod
    async def of_past(cls, store: Store, manifest: Manifest, settings: Settings) -> "Searcher":
        """Open a release of the past; raises Cleaned where its tables are gone."""
        searcher = cls(store, manifest, settings)
        try:
            await searcher.tables.open()
        except (OSError, RuntimeError, ValueError) as error:
            told = f"{manifest.release} cannot be asked any more: its tables are gone"
            raise Cleaned(told) from error
        return searcher

    async def answer(
        self,
        query: Query,
        allowed: Allowed = EVERYTHING,
        stages: Sequence[Stage] = STAGES,
        **known: Any,
    ) -> Retrieval:
        """Take a query through the steps; `known` are further fields of `Retrieval`.

        Raises InvalidFilter for a filter that is not allowed, BadInput for an unknown profile and
        where nothing is left to ask with.
        """
        await self.tables.open()
        return await run(Retrieval(query, self, self.settings, allowed, **known), stages)

    async def rankings(
        self, query: Query, allowed: Allowed = EVERYTHING, uploads: Sequence[Upload] = ()
    ) -> dict[str, list[str]]:
        """Return item ids, best first, by the fused score and by every channel alone."""
        asked = await self.answer(query, allowed, uploads=uploads)
        alone = {
            name: sorted(items, key=lambda item: (-items[item].value, item))[: query.k]
            for name, items in asked.hits.items()
        }
        return {"fused": [entry.item_id for entry in asked.shown], **alone}

    @cached_property
    def fingerprint(self) -> str:
        """What tells a release from every other, also from what a purge made of it."""
        return digest_json(self.manifest.model_dump(mode="json"))

    async def router(self) -> Router:
        """Return what knows the domains of this release; the first query that needs it makes it."""
        made = self._routing
        if made is None or (made.done() and (made.cancelled() or made.exception())):
            made = self._routing = asyncio.create_task(Router.of(self.tables))
        return await asyncio.shield(made)

    async def warm(self) -> None:
        """Open every table, load every encoder, and ask each table once.

        A channel whose model cannot be had is left out of answers until it can. Raises
        ModelUnavailable where that leaves nothing to search by.
        """
        await self.tables.open()
        identities = await asyncio.to_thread(self.encoders.load)
        missing = sorted(self.manifest.channels.keys() - identities.keys())
        if missing and not identities and BM25 not in self.tables.tables:
            raise ModelUnavailable(f"no model of this release can be had: {', '.join(missing)}")
        if missing:
            told = "release %s answers without %s"
            logging.getLogger(LOGGER).warning(told, self.manifest.release, ", ".join(missing))
        asked = [
            self.tables.nearest(name, np.ones(identity.dimension, np.float32), EVERYTHING, 1)
            for name, identity in identities.items()
        ]
        # A model does part of its loading when it is first asked.
        await asyncio.to_thread(self.encoders.encode, Query(_ANY))
        await asyncio.gather(*asked, self.tables.match("a", EVERYTHING, 1))

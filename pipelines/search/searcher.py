"""Asking one release: every present channel at once, filters before the cut, one fused list."""

import asyncio
import datetime as dt
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pipelines.channels import CHANNELS
from pipelines.models import factory
from pipelines.models.batching import ensure_identity
from pipelines.models.protocols import Identity, ImageEncoder, TextEncoder
from pipelines.releases.manifest import ChannelVersion, Manifest
from pipelines.search import calibration
from pipelines.search.filters import compile_filter
from pipelines.search.fusion import BM25, Scored, fuse, weights
from pipelines.store import Store
from pipelines.tables.facts import equals_any

CANDIDATES = 200
NPROBES = 20
REFINE = 2
_TIMEOUT = dt.timedelta(seconds=10)
_PLACE = ["item_id", "uri", "title", "kind", "segment", "page", "start_s", "end_s"]


@dataclass(frozen=True)
class Query:
    """What is asked: text, an image, or both, for `k` items that pass the filter `where`."""

    text: str | None = None
    image: Image.Image | None = None
    k: int = 10
    where: str | None = None


class Hit(NamedTuple):
    """The best row of an item in one channel: raw similarity, and where it stands in the answer."""

    value: float
    found: Any
    position: int

    @property
    def row(self) -> dict[str, Any]:
        """The row itself, read only for the few that are shown."""
        return self.found.slice(self.position, 1).to_pylist()[0]


@dataclass
class Answer:
    """Ranked items with the evidence they rank by."""

    release: str
    ranked: list[Scored]
    places: dict[str, Mapping[str, Any]] = field(default_factory=dict)


class Searcher:
    """Answers queries from the exact table versions of one release.

    To be used within one event loop, by any number of tasks.
    """

    def __init__(self, store: Store, manifest: Manifest):
        self.manifest = manifest
        self._store = store
        self.tables: dict[str, Any] = {}
        self._opening = asyncio.Lock()

    async def search(self, query: Query, hidden: str | None = None) -> Answer:
        """Answer one query without the rows for which the condition `hidden` does not hold.

        Raises InvalidFilter for a filter that is not allowed.
        """
        asked = compile_filter(query.where) if query.where else None
        where = " AND ".join(f"({part})" for part in (asked, hidden) if part) or None
        return await self.ranked(query, await asyncio.to_thread(self.encode, query), where)

    async def ranked(
        self, query: Query, vectors: Mapping[str, np.ndarray], where: str | None = None
    ) -> Answer:
        """Answer an encoded query; `where` is a compiled filter."""
        hits = await self.hits(vectors, query.text, where, max(CANDIDATES, 4 * query.k))
        return self._rank(query, hits)

    async def rankings(self, query: Query, hidden: str | None = None) -> dict[str, list[str]]:
        """Return item ids, best first, by the fused score and by every channel alone."""
        hits = await self.hits(self.encode(query), query.text, hidden, max(CANDIDATES, query.k))
        alone = {
            name: sorted(items, key=lambda item: (-items[item].value, item))[: query.k]
            for name, items in hits.items()
        }
        fused = self._rank(query, hits).ranked
        return {"fused": [entry.item_id for entry in fused], **alone}

    def encode(self, query: Query) -> dict[str, np.ndarray]:
        """Encode a query once for each channel that is asked."""
        text = " ".join(query.text.split()) if query.text else None
        vectors: dict[str, np.ndarray] = {}
        encoded: dict[tuple[str, str | None], np.ndarray] = {}
        for name, version in self.manifest.channels.items():
            encoder = _encoder(name, version)
            content = text
            if CHANNELS[name].encoder == "image":
                vectors[name] = _image_query(encoder, text, query.image)  # type: ignore[arg-type]
                continue
            if content is None and query.image is not None and name == "caption":
                content = _pseudo_caption(query.image)
            key = (encoder.identity.key, content)
            if content is not None:
                if key not in encoded:
                    encoded[key] = encoder.encode_texts([content])[0]
                vectors[name] = encoded[key]
        return vectors

    async def hits(
        self, vectors: Mapping[str, np.ndarray], text: str | None, where: str | None, depth: int
    ) -> dict[str, dict[str, Hit]]:
        """Search all channels at once; return channel to item to its best row.

        Items found in one channel are scored in the others too, so that a low similarity is not
        mistaken for a channel that the item does not have.
        """
        await self.open()
        names = list(vectors)
        searches = [self._nearest(name, vectors[name], where, depth) for name in names]
        if text and BM25 in self.tables:
            names.append(BM25)
            searches.append(self._match(text, where, depth))
        hits = dict(zip(names, await asyncio.gather(*searches), strict=True))
        found = set().union(*hits.values()) if hits else set()
        cut = [
            n for n in vectors if self.manifest.channels[n].rows > depth and found - hits[n].keys()
        ]
        missing = [
            self._nearest(
                name, vectors[name], equals_any("item_id", found - hits[name].keys()), None
            )
            for name in cut
        ]
        for name, more in zip(cut, await asyncio.gather(*missing), strict=True):
            hits[name] |= more
        return hits

    def _rank(self, query: Query, hits: Mapping[str, Mapping[str, Hit]]) -> Answer:
        words = len((query.text or "").split())
        evidence: dict[str, dict[str, float]] = defaultdict(dict)
        for name, items in hits.items():
            for item_id, hit in items.items():
                evidence[item_id][name] = self._calibrated(name, hit.value, words)
        if BM25 in hits:
            for channels in evidence.values():
                channels.setdefault(BM25, 0.0)
        ranked = fuse(evidence, weights())[: query.k]
        places: dict[str, Mapping[str, Any]] = {}
        for entry in ranked:
            best = max(
                (name for name in entry.channels if entry.item_id in hits[name]),
                key=lambda name: (entry.channels[name], name),
            )
            places[entry.item_id] = hits[best][entry.item_id].row
        return Answer(self.manifest.release, ranked, places)

    def _calibrated(self, name: str, value: float, words: int) -> float:
        if name == BM25 and self.manifest.passages:
            return calibration.bm25(value, words, self.manifest.passages.rows)
        return calibration.similarity(value, self.manifest.channels[name].spec)

    async def open(self) -> None:
        """Open every table at the release's version, once."""
        async with self._opening:
            if self.tables:
                return
            import lancedb

            database = await lancedb.connect_async(
                self._store.search_root, storage_options=self._store.storage_options
            )
            versions = {name: (c.table, c.version) for name, c in self.manifest.channels.items()}
            if self.manifest.passages:
                versions[BM25] = (self.manifest.passages.table, self.manifest.passages.version)
            tables = {}
            for name, (table, version) in versions.items():
                tables[name] = await database.open_table(table)
                await tables[name].checkout(version)
            self.tables = tables

    async def warm(self) -> None:
        """Open every table, load every encoder, and ask each table once.

        Raises IdentityMismatch or ModelUnavailable where the release's models cannot be had.
        """
        await self.open()
        encoders = [
            await asyncio.to_thread(_encoder, name, version)
            for name, version in self.manifest.channels.items()
        ]
        asked = [
            self._nearest(name, np.ones(encoder.identity.dimension, np.float32), None, 1)
            for name, encoder in zip(self.manifest.channels, encoders, strict=True)
        ]
        await asyncio.gather(*asked, *([self._match("a", None, 1)] if BM25 in self.tables else []))

    async def _nearest(
        self, name: str, vector: np.ndarray, where: str | None, depth: int | None
    ) -> dict[str, Hit]:
        """Return the best row of each item by cosine similarity."""
        rows = self.manifest.channels[name].rows
        query = self.tables[name].vector_search(vector).column("vector").distance_type("cosine")
        if depth is None:
            query = query.bypass_vector_index()
        elif self.manifest.channels[name].indexed:
            query = query.nprobes(NPROBES).refine_factor(REFINE)
        query = query.limit(min(depth, rows) if depth else rows).select([*_PLACE, "_distance"])
        if where:
            query = query.where(where)
        found = await query.to_arrow(timeout=_TIMEOUT)
        return _best(found, 1.0 - found["_distance"].to_numpy())

    async def _match(self, text: str, where: str | None, depth: int) -> dict[str, Hit]:
        """Return the best passage of each item by BM25."""
        query = self.tables[BM25].query().nearest_to_text(text, columns=["text"])
        query = query.limit(depth).select([*_PLACE, "_score"])
        if where:
            query = query.where(where)
        found = await query.to_arrow(timeout=_TIMEOUT)
        return _best(found, found["_score"].to_numpy())


def _best(found: Any, values: np.ndarray) -> dict[str, Hit]:
    best: dict[str, Hit] = {}
    ids = found["item_id"].to_pylist()
    for position, (item_id, value) in enumerate(zip(ids, values.tolist(), strict=True)):
        if item_id not in best or value > best[item_id].value:
            best[item_id] = Hit(value, found, position)
    return best


@lru_cache
def _checked(spec: str, kind: str, identity: str) -> TextEncoder | ImageEncoder:
    encoder = factory.image_encoder(spec) if kind == "image" else factory.text_encoder(spec)
    ensure_identity(Identity(**json.loads(identity)), encoder.identity)
    return encoder


def _encoder(name: str, version: ChannelVersion) -> TextEncoder | ImageEncoder:
    """Load the very model that a release's channel was encoded with; refuse any other."""
    return _checked(
        version.spec, CHANNELS[name].encoder, json.dumps(version.identity, sort_keys=True)
    )


def _image_query(encoder: ImageEncoder, text: str | None, image: Image.Image | None) -> np.ndarray:
    """Encode what was given; text and image together are the mean of their unit vectors."""
    vectors = []
    if text:
        vectors.append(encoder.encode_texts([text])[0])
    if image is not None:
        vectors.append(encoder.encode_prepared([encoder.prepare(image)])[0])
    mean = np.mean(vectors, axis=0)
    return mean / np.linalg.norm(mean)


def _pseudo_caption(image: Image.Image) -> str:
    """Describe a query image so that the text channels can be asked too."""
    captioner = factory.captioner("builtin")
    return captioner.caption_prepared([captioner.prepare(image)])[0]

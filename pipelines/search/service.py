"""Searching the newest release, whichever that is: follows releases and swaps at once."""

import asyncio
import time
import uuid
from typing import Any

from PIL import Image

from pipelines.errors import BadInput
from pipelines.reading.media import decode_pages
from pipelines.releases import require
from pipelines.search.searcher import Answer, Query, Searcher
from pipelines.settings import Settings
from pipelines.store import Store

_POLL_S = 1.0


class SearchService:
    """Answers with the newest release, looking for a newer one at most once a second."""

    def __init__(self, store: Store):
        self._store = store
        self._searcher: Searcher | None = None
        self._version: int | None = None
        self._checked = 0.0
        self._lock = asyncio.Lock()

    async def searcher(self) -> Searcher:
        """Return the searcher of the newest release; raises NotReleased before the first."""
        async with self._lock:
            if self._searcher is None or time.monotonic() - self._checked > _POLL_S:
                version = await asyncio.to_thread(lambda: self._store.releases.version)
                if self._searcher is None or version != self._version:
                    manifest = await asyncio.to_thread(require, self._store)
                    self._searcher, self._version = Searcher(self._store, manifest), version
                self._checked = time.monotonic()
            return self._searcher

    async def search(
        self, text: str | None, image: Image.Image | None, k: int, where: str | None
    ) -> dict[str, Any]:
        """Answer in the form of the public contract. Raises BadInput when nothing is asked."""
        if not (text and text.strip()) and image is None:
            raise BadInput("give a text, an image, or both")
        answer = await (await self.searcher()).search(Query(text, image, k, where))
        return as_document(answer)


def as_document(answer: Answer) -> dict[str, Any]:
    """Write an answer as the JSON document that applications get."""
    results = []
    for entry in answer.ranked:
        place = answer.places[entry.item_id]
        part = place["segment"] if place["segment"] not in {"image", "meta"} else None
        results.append(
            {
                "item_id": entry.item_id,
                "uri": place["uri"],
                "title": place["title"],
                "kind": place["kind"],
                "score": entry.score,
                "channels": dict(entry.channels),
                "segment": part
                and {name: place[name] for name in ("segment", "page", "start_s", "end_s")},
            }
        )
    return {"query_id": uuid.uuid4().hex, "release": answer.release, "results": results}


def read_image(data: bytes, settings: Settings) -> Image.Image:
    """Decode a query image within the bounds of the settings; raises BadInput."""
    return next(decode_pages(data, "image", settings)).image

"""A service that answers as a test says, so that what is tested is the server around it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI
from waiting import PATIENCE_S

from pipelines.rights import pseudonym
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from serving.app import create_app
from serving.limits import Limits


def document(*scores: float) -> dict[str, Any]:
    """An answer with results of these scores."""
    return {
        "query_id": "0" * 32,
        "release": "r000007",
        "profile": "default",
        "asked": {"words": "text", "sound": None},
        "degraded": [],
        "trace": [
            {"step": "encode", "at_ms": 0.1, "ms": 3.0, "parts": {"visual": 2.0}},
            {"step": "search", "at_ms": 3.2, "ms": 5.0, "parts": {"visual": 4.0, "bm25": 1.0}},
        ],
        "results": [
            {
                "item_id": f"item-{number}",
                "uri": f"file:///{number}.jpg",
                "title": "a title nobody may log",
                "kind": "image",
                "score": score,
                "channels": {"visual": score},
                "segment": None,
            }
            for number, score in enumerate(scores)
        ],
    }


class Answering:
    """What of `SearchService` a search needs; `work` is done in a thread before each answer."""

    def __init__(self, work: Callable[[], None] = lambda: None):
        self.work = work
        self.cancelled = False

    async def start(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def search(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Work, then answer."""
        try:
            await asyncio.to_thread(self.work)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return document(0.5, 0.25)

    def pseudonym(self, user: str) -> str:
        """The real one."""
        return pseudonym(user, b"secret")

    def stats(self) -> dict[str, Any]:
        """Counts as the real service gives them."""
        return {
            "caches": {"results": (3, 1)},
            "journal": {"dropped": 2},
            "mirror": {"bytes": 1024},
            "release": "r000007",
        }


def answering_app(home: Path, limits: Limits, service: Answering) -> FastAPI:
    """The real app around it."""
    return create_app(Settings(home=home), limits, service=cast(SearchService, service))


@asynccontextmanager
async def running(app: FastAPI, address: str = "10.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """A client of a started app, in this event loop, that asks from an address."""
    transport = httpx.ASGITransport(app, client=(address, 1234))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client


class Stuck:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.free = threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        self.free.wait(PATIENCE_S)

"""The HTTP API and its page, put together: routes by topic, behind one gate, within limits."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pipelines.catalog.uploads import Uploads
from pipelines.errors import MediadexError
from pipelines.progress import LOGGER
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from serving import (
    answers,
    explaining,
    health,
    items,
    measures,
    media,
    releases,
    searching,
    thumbnails,
    uploading,
)
from serving.access import LOOPBACK, Access
from serving.gate import Gate
from serving.hosts import OnlyAs
from serving.limits import Limits
from serving.observed import Observed
from serving.page import SafeHeaders, add_page
from serving.refusals import refuse
from serving.serviced import Serving
from serving.slots import HoldingThreads
from serving.transfer import BoundedBody, Heads

VERSION = "/v1"
_ABOUT = (
    "Search governed media by what they show, say and are about. All paths also answer without "
    f"`{VERSION}`, as the newest version."
)
_FORMS = [f"{at}{path}" for at in ("", VERSION) for path in ("/search/file", "/items")]
_ROUTERS = (
    searching.router,
    answers.router,
    items.router,
    media.router,
    thumbnails.router,
    explaining.router,
    explaining.judging,
    releases.router,
    uploading.router,
)


def create_app(
    settings: Settings,
    limits: Limits | None = None,
    *,
    service: SearchService | None = None,
    only_local: bool = False,
    needs_token: bool | None = None,
    index: Callable[[], None] | None = None,
) -> FastAPI:
    """Build the app over a home. It follows new releases by itself.

    `index` indexes what is uploaded; without it, the next scan does. With `only_local` it answers
    to names of this machine alone, so that no page of the web can lead a browser here under a name
    of its own (DNS rebinding). `needs_token` tells whether a token is needed where the home that
    would tell it is away; unknown, it is.
    """
    limits = limits or Limits()
    store = Store(settings.root)
    service = service or SearchService(
        store, settings, listeners=1, mirror=settings.mirror_bytes > 0, journal=True
    )

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_default_executor(HoldingThreads())
        measures.forget_the_dead()
        try:
            await service.start()
        except MediadexError as error:
            logging.getLogger(LOGGER).warning("nothing can be answered yet: %s", error)
        measuring = asyncio.create_task(measures.keep_taking(service.stats))
        yield
        measuring.cancel()
        await service.close()

    app = FastAPI(
        title="mediadex",
        version="1",
        description=_ABOUT,
        lifespan=running,
        # Their pages would be loaded from a third party.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Theirs holds paths and queries.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.serving = Serving(service)
    app.state.gate = Gate(Access(settings, needs_token), limits, service.pseudonym)
    app.state.uploading = uploading.uploading(Uploads(store, settings), index, limits.seconds)
    refuse(app)
    app.include_router(health.router)
    app.include_router(health.measured)
    for router in _ROUTERS:
        app.include_router(router, prefix=VERSION)
        app.include_router(router, include_in_schema=False)
    add_page(app)
    app.add_middleware(
        BoundedBody, most=limits.body_bytes, most_in_memory=limits.json_bytes, forms=_FORMS
    )
    app.add_middleware(Heads)
    if only_local:
        app.add_middleware(OnlyAs, hosts=LOOPBACK)
    app.add_middleware(SafeHeaders)
    app.add_middleware(Observed, pseudonym=service.pseudonym)
    return app

"""What the routes of an app share: the service that answers, and the store behind it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from pipelines.search.service import SearchService
from pipelines.store import Store


@dataclass(frozen=True)
class Serving:
    """The service of one app, and its store."""

    store: Store
    service: SearchService


async def _serving(request: Request) -> Serving:
    serving: Serving = request.app.state.serving
    return serving


Served = Annotated[Serving, Depends(_serving)]

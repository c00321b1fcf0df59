"""What the routes of an app share: the service that answers, and the store that it reads."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from pipelines.search.service import SearchService
from pipelines.store import Store


@dataclass(frozen=True)
class Serving:
    """The service of one app, and the store that it reads by now."""

    service: SearchService

    @property
    def store(self) -> Store:
        """The storage of the home or, while that is away, its copy."""
        return self.service.store


async def _serving(request: Request) -> Serving:
    serving: Serving = request.app.state.serving
    return serving


Served = Annotated[Serving, Depends(_serving)]

"""Under which names a server answers, so that no name of the web leads a browser to it."""

import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.refusals import refusal

_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::[0-9]*)?")


class OnlyAs:
    """Refuses requests to other hosts than some (status 400)."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]):
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it names one of them, with any port."""
        if scope["type"] == "http":
            named = _HOST.fullmatch(Headers(scope=scope).get("host", ""))
            if named is None or named[1].lower() not in self._hosts:
                told = "this server answers to names of its own machine only; ask it as localhost"
                return await refusal(400, told)(scope, receive, send)
        await self._app(scope, receive, send)

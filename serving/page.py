"""The page at `/`, from files of our own, and the headers that keep a browser to them."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE = Path(__file__).parent / "page"

_HEADERS = {
    # What is asked with and what is played may be held by the page itself (`blob:`, `data:`).
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self), payment=()",
    # What is erased must be gone from the next request on.
    "Cache-Control": "no-store",
}


class SafeHeaders:
    """Adds the headers that tell a browser what it may do with an answer, and keep it nowhere."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; headers that its answer sets itself stay."""

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, safe)


def add_page(app: FastAPI, folder: Path = PAGE) -> None:
    """Serve each file of a folder by its name, and `index.html` at `/`; nothing else of the disk.

    The files are listed once, when the app is made.
    """
    if not folder.is_dir():
        return
    files = StaticFiles(directory=folder)

    def serve(path: str, name: str) -> None:
        async def file(request: Request) -> Response:
            answer = await files.get_response(name, request.scope)
            answer.headers["Cache-Control"] = "no-cache"
            return answer

        app.add_api_route(path, file, methods=["GET", "HEAD"], include_in_schema=False)

    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    for name in names:
        serve(f"/{name}", name)
    if "index.html" in names:
        serve("/", "index.html")

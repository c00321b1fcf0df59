"""Real servers for tests, in a thread or in a process of their own."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI
from waiting import wait_until


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an app from a thread, on a free port; its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    assert thread.is_alive(), "the server did not start"
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_until_ready(url: str, process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Wait until a server that was started in a process says that it is ready."""

    def ready() -> bool:
        assert process.poll() is None, "the server has ended"
        try:
            return httpx.get(f"{url}/readyz", timeout=60).status_code == 200
        except httpx.HTTPError:
            return False

    wait_until(ready)

"""Processes that serve: one, or several that share a port and their measures."""

import json
import math
import os
import tempfile
from collections.abc import Sequence

from fastapi import FastAPI

from pipelines.settings import Settings, load_settings
from serving.access import check_binding, has_tokens, is_loopback
from serving.indexing import Child
from serving.limits import Limits
from serving.logs import CONFIG
from serving.rate import Rate

APP = "serving.workers:app_from_environment"
_LOCAL = "MEDIADEX_SERVE_LOCAL"
_INDEX = "MEDIADEX_SERVE_INDEX"
_NEEDS_TOKEN = "MEDIADEX_SERVE_NEEDS_TOKEN"
_HEALTHY_S = 60


def serve(
    settings: Settings,
    limits: Limits,
    host: str,
    port: int,
    workers: int,
    is_open: bool = False,
    index: Sequence[str] = (),
) -> None:
    """Serve a home until told to stop; requests under way are finished.

    `index` is the command that indexes uploads (`serving.indexing.Child`). Raises MediadexError
    rather than serve a home without tokens to others, and for limits that make no sense.
    """
    import uvicorn

    check_binding(settings, host, is_open)
    Rate(limits.rate, limits.rate_storage)  # refused here rather than by each process
    with_tokens = has_tokens(settings)
    os.environ |= {
        "MEDIADEX_HOME": str(settings.home),
        _INDEX: json.dumps(index),
        _LOCAL: "1" if is_loopback(host) and not (is_open or with_tokens) else "",
        # A process may begin, or begin again, while the home is away.
        _NEEDS_TOKEN: json.dumps(True if with_tokens else False if is_open else None),
        **{f"MEDIADEX_SERVE_{name.upper()}": str(value) for name, value in limits},
    }
    with tempfile.TemporaryDirectory(prefix="mediadex-measures-") as folder:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        uvicorn.run(
            APP,
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_config=CONFIG,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=math.ceil(limits.seconds),
            # A process that loads its models answers nothing for seconds.
            timeout_worker_healthcheck=_HEALTHY_S,
        )


def app_from_environment() -> FastAPI:
    """Build the app of one process; what is set reaches it by environment variables."""
    from serving.app import create_app
    from serving.spans import export_if_asked

    export_if_asked()
    command = json.loads(os.environ.get(_INDEX) or "[]")
    return create_app(
        load_settings(),
        only_local=bool(os.environ.get(_LOCAL)),
        needs_token=json.loads(os.environ.get(_NEEDS_TOKEN) or "null"),
        index=Child(command) if command else None,
    )

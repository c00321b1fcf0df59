"""Logs as JSON lines on standard error; they tell of requests, never what was asked or found."""

import datetime as dt
import json
import logging
import traceback
from contextvars import ContextVar
from typing import Any

from pipelines.progress import LOGGER

REQUESTS = f"{LOGGER}.requests"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class JsonLines(logging.Formatter):
    """One JSON object a line. Of an error it shows the kind and the place, never its words."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; what it holds under `told` stands beside the usual fields."""
        line: dict[str, Any] = {
            "timestamp": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
        }
        if record.exc_info and record.exc_info[1]:
            line |= told_of(record.exc_info[1])
        line |= getattr(record, "told", {})
        return json.dumps({name: each for name, each in line.items() if each is not None})


def told_of(error: BaseException) -> dict[str, Any]:
    """Return the kind of an error and where it was raised, without its words."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]],
    }


CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "serving.logs.JsonLines"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "stream": "ext://sys.stderr",
        }
    },
    "loggers": {
        LOGGER: {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        # They would keep what people asked for.
        "uvicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
"""For `logging.config`, and for uvicorn, which sets it up in every worker."""

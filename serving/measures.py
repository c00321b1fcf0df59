"""What Prometheus reads: how often, how long, from which cache, how much memory.

Several workers share one folder of counts (`PROMETHEUS_MULTIPROC_DIR`, made before they start).
Counts of other parts are gauges, so that they keep their exact names: a counter gets `_total`.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_MS = (1, 2, 5, 10, 20, 50, 100, 150, 200, 300, 500, 750, 1_000, 2_000, 5_000, 10_000, 30_000)

requests = Counter(
    "http_requests_total", "Requests answered.", ["method", "route", "status"], registry=REGISTRY
)
request_seconds = Histogram(
    "http_request_duration_seconds",
    "How long requests took.",
    ["method", "route", "status"],
    buckets=[each / 1000 for each in _MS],
)
retrieval_ms = Histogram("retrieval_time_ms", "How long queries took.", buckets=_MS)
generation_ms = Histogram("generation_time_ms", "How long written answers took.", buckets=_MS)
step_ms = Histogram("retrieval_step_time_ms", "How long steps took.", ["step"], buckets=_MS)
_cache_hits = Gauge("cache_hits", "Found in a cache.", ["level"], multiprocess_mode="sum")
_cache_misses = Gauge("cache_misses", "Not found in it.", ["level"], multiprocess_mode="sum")
_journal = Gauge("journal", "Queries by what became of them.", ["what"], multiprocess_mode="sum")
_mirror = Gauge("mirror", "The mirror of the release.", ["what"], multiprocess_mode="livesum")
_away = Gauge(
    "storage_away",
    "Whether the storage cannot be read, and a copy or memory answers.",
    multiprocess_mode="livemax",
)
_TAKEN_S = 1.0


@cache
def of_step(step: str) -> Histogram:
    """Return the measure of a step; that of each is looked up once."""
    return step_ms.labels(step)


def take(stats: Mapping[str, Any]) -> None:
    """Take over what a service tells of itself (`SearchService.stats`)."""
    for level, (hits, misses) in stats.get("caches", {}).items():
        _cache_hits.labels(level).set(hits)
        _cache_misses.labels(level).set(misses)
    for gauge, name in ((_journal, "journal"), (_mirror, "mirror")):
        for what, value in (stats.get(name) or {}).items():
            if isinstance(value, int | float):
                gauge.labels(what).set(value)
    _away.set(bool(stats.get("stands_in")))


async def keep_taking(stats: Callable[[], Mapping[str, Any]]) -> None:
    """Take over every second what a service tells: which worker answers a scrape is chance."""
    while True:
        take(stats())
        await asyncio.sleep(_TAKEN_S)


def exposition() -> tuple[bytes, str]:
    """Return all measures of all workers, and their content type."""
    registry = REGISTRY
    if os.environ.get(FOLDER):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST


def forget_the_dead() -> None:
    """Drop what lives only with a process, of workers that are gone."""
    for file in Path(os.environ.get(FOLDER) or os.devnull).glob("gauge_live*_*.db"):
        process = int(file.stem.rpartition("_")[2])
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(process)

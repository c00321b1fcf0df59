"""Logs, measures and traces: they tell how requests went, never what was asked or found."""

import asyncio
import io
import json
import logging
import logging.config
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from answering import Answering, answering_app, running
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from waiting import until

from pipelines.progress import LOGGER
from pipelines.rights import Caller
from pipelines.tokens import Tokens
from serving import spans
from serving.limits import Limits
from serving.logs import JsonLines

SECRET = "the words of somebody"


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the server's log holds by now."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger(LOGGER)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(level)


def asked(
    home: Path, ask: Callable[[httpx.AsyncClient], Awaitable[Any]], service: Answering | None = None
) -> Any:
    async def run() -> Any:
        app = answering_app(home, Limits(rate=""), service or Answering())
        async with running(app) as client:
            return await ask(client)

    return asyncio.run(run())


def test_a_line_tells_of_a_request_and_not_what_was_asked(
    tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    token = Tokens(tmp_path / "tokens.json").add(Caller(user="ana@example.org"))

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "mine-1"}
        return await client.get("/v1/search", params={"text": SECRET}, headers=headers)

    answer = asked(tmp_path, ask)
    assert answer.status_code == 200 and answer.headers["x-request-id"] == "mine-1"
    (line,) = lines()
    assert line["request_id"] == "mine-1" and line["level"] == "INFO" and line["timestamp"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/search", 200)
    assert line["release"] == "r000007" and line["scores"] == [0.5, 0.25] and line["ms"] > 0
    assert len(line["user"]) == 16
    written = json.dumps(lines())
    for private in (SECRET, "somebody", "ana", "example.org", token, "a title nobody may log"):
        assert private not in written


def test_an_error_is_told_without_its_words(
    tmp_path: Path, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    def work() -> None:
        raise KeyError(SECRET)

    answer = asked(tmp_path, lambda client: client.get("/v1/search?text=x"), Answering(work))
    assert answer.status_code == 500 and answer.headers["x-request-id"] in answer.text
    (line,) = lines()
    assert line["error"] == "KeyError" and line["level"] == "ERROR" and line["status"] == 500
    assert any("test_observing.py" in frame for frame in line["at"])
    assert SECRET not in json.dumps(line) + answer.text


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "a\\nb", "é"])
def test_only_plain_request_ids_are_taken_over(tmp_path: Path, sent: str) -> None:
    headers = {"X-Request-ID": sent.encode()}
    answer = asked(tmp_path, lambda client: client.get("/healthz", headers=headers))
    assert answer.headers["x-request-id"] != sent and len(answer.headers["x-request-id"]) == 32


def test_the_measures_have_the_names_that_dashboards_ask_for(tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient) -> dict[str, dict[tuple[str, ...], float]]:
        before = measured((await client.get("/metrics")).text)
        await client.get(f"/v1/search?text={SECRET}")
        await client.get(f"/search?text={SECRET}")
        await client.get("/v1/items/a/b")
        await client.request("BREW", f"/{SECRET}")
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert SECRET not in answer.text and "somebody" not in answer.text
        after = measured(answer.text)
        return {
            name: {key: value - before.get(name, {}).get(key, 0) for key, value in values.items()}
            if name.endswith(("_total", "_count"))
            else values
            for name, values in after.items()
        }

    counts = asked(tmp_path, ask)
    assert counts["http_requests_total"]["GET", "/search", "200"] == 2
    assert counts["http_request_duration_seconds_count"]["GET", "/search", "200"] == 2
    assert counts["http_requests_total"]["GET", "/items/{item_id}", "500"] == 1
    assert counts["http_requests_total"]["other", "unknown", "404"] == 1
    assert counts["retrieval_time_ms_count"][()] == 2
    assert counts["retrieval_step_time_ms_count"]["encode",] == 2
    assert counts["generation_time_ms_count"][()] == 0
    assert counts["cache_hits"]["results",] == 3 and counts["cache_misses"]["results",] == 1
    assert counts["mirror"]["bytes",] == 1024 and counts["journal"]["dropped",] == 2


def test_every_worker_tells_what_it_counts_before_it_is_asked(tmp_path: Path) -> None:
    class Busy(Answering):
        def stats(self) -> dict[str, Any]:
            return super().stats() | {"caches": {"results": (7, 5)}, "stands_in": "replica"}

    async def ask(_: httpx.AsyncClient) -> None:
        await until(lambda: REGISTRY.get_sample_value("cache_hits", {"level": "results"}) == 7)
        assert REGISTRY.get_sample_value("cache_misses", {"level": "results"}) == 5
        assert REGISTRY.get_sample_value("storage_away") == 1

    asked(tmp_path, ask, Busy())


def measured(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_spans_show_the_steps_below_their_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("test"))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(f"/v1/search?text={SECRET}", headers={"traceparent": parent})

    asked(tmp_path, ask)
    found = exporter.get_finished_spans()
    by_id = {span.context.span_id: span for span in found}
    above = {(s.name, by_id[s.parent.span_id].name) for s in found if s.parent.span_id in by_id}
    assert above == {
        ("encode", "GET /search"),
        ("search", "GET /search"),
        ("visual", "encode"),
        ("visual", "search"),
        ("bm25", "search"),
    }
    (request,) = (span for span in found if span.name == "GET /search")
    assert format(request.context.trace_id, "032x") == parent.split("-")[1]
    assert request.attributes["http.response.status_code"] == 200
    step = next(span for span in found if span.name == "search")
    assert step.end_time - step.start_time == pytest.approx(5e6, abs=1e3)
    assert "words" not in "".join(span.to_json() for span in found)

"""Bounds: how long, how many, how often. What is too much is told so, and leaves nothing behind."""

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from answering import Answering, Stuck, answering_app, running
from servers import free_port
from waiting import until, wait_until

from pipelines.errors import MediadexError
from serving.limits import Limits
from serving.rate import Rate

ASK = "/v1/search?text=x"


def test_what_takes_too_long_is_given_up_and_its_slot_is_free_once_it_ends(tmp_path: Path) -> None:
    stuck, limits = Stuck(), Limits(seconds=0.5, concurrent=1, wait_s=0.05, rate="")
    service = Answering(stuck)

    async def ask() -> None:
        async with running(answering_app(tmp_path, limits, service)) as client:
            given_up = await client.get(ASK)
            assert given_up.status_code == 504 and "0.5 s" in given_up.json()["detail"]
            assert service.cancelled
            # Its thread still takes a core.
            refused = await client.get(ASK)
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
            stuck.free.set()
            while (answer := await client.get(ASK)).status_code == 503:
                pass
            assert answer.status_code == 200

    asyncio.run(ask())


def test_there_is_a_bound_on_those_that_wait_and_on_how_long(tmp_path: Path) -> None:
    stuck, limits = Stuck(), Limits(concurrent=1, waiting=1, wait_s=0.5, rate="")

    async def ask() -> tuple[list[httpx.Response], httpx.Response]:
        async with running(answering_app(tmp_path, limits, Answering(stuck))) as client:
            first = asyncio.create_task(client.get(ASK))
            await until(stuck.begun.is_set)
            waits = asyncio.create_task(client.get(ASK))
            await asyncio.sleep(0)
            at_once = await client.get(ASK)
            assert not waits.done()
            assert (await client.get("/healthz")).status_code == 200
            in_vain = await waits
            stuck.free.set()
            return [at_once, in_vain], await first

    refused, answered = asyncio.run(ask())
    assert [each.status_code for each in refused] == [503, 503]
    assert all(each.headers["retry-after"] == "1" for each in refused)
    assert answered.status_code == 200


def test_without_a_time_to_wait_a_free_slot_is_taken(tmp_path: Path) -> None:
    stuck, limits = Stuck(), Limits(concurrent=1, wait_s=0, rate="")

    async def ask() -> list[int]:
        async with running(answering_app(tmp_path, limits, Answering(stuck))) as client:
            stuck.free.set()
            assert (await client.get(ASK)).status_code == 200
            stuck.free.clear()
            stuck.begun.clear()
            first = asyncio.create_task(client.get(ASK))
            await until(stuck.begun.is_set)
            second = await client.get(ASK)
            stuck.free.set()
            return [(await first).status_code, second.status_code]

    assert asyncio.run(ask()) == [200, 503]


def test_only_paths_that_read_forms_take_large_ones(tmp_path: Path) -> None:
    app = answering_app(tmp_path, Limits(json_bytes=1_000, rate=""), Answering())
    described = app.openapi()["paths"]
    forms = {
        path
        for path, how in described.items()
        if "multipart/form-data" in how.get("post", {}).get("requestBody", {}).get("content", ())
    }
    assert len(forms) == 2
    body = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n%b\r\n--x--' % (b"1" * 2_000)
    headers = {"Content-Type": "Multipart/Form-Data; boundary=x"}

    async def ask() -> None:
        async with running(app, "127.0.0.1") as client:
            for path, how in described.items():
                if "requestBody" in how.get("post", ()):
                    for url in (path, path.removeprefix("/v1")):
                        answer = await client.post(url, content=body, headers=headers)
                        assert (answer.status_code != 413) == (path in forms), url

    asyncio.run(ask())


def test_a_request_that_comes_in_slowly_takes_no_slot(tmp_path: Path) -> None:
    limits = Limits(concurrent=1, wait_s=0.05, seconds=2.0, rate="")

    async def ask() -> list[int]:
        slow = asyncio.Event()

        async def body():  # type: ignore[no-untyped-def]
            yield b'{"text": '
            await slow.wait()
            yield b'"x"}'

        async with running(answering_app(tmp_path, limits, Answering())) as client:
            headers = {"Content-Type": "application/json"}
            first = asyncio.create_task(client.post("/v1/search", content=body(), headers=headers))
            await asyncio.sleep(0.02)
            meanwhile = await client.get(ASK)
            slow.set()
            never = asyncio.create_task(
                client.post("/v1/search", content=stalled(), headers=headers)
            )
            return [each.status_code for each in (meanwhile, await first, await never)]

    async def stalled():  # type: ignore[no-untyped-def]
        yield b"{"
        await asyncio.sleep(60)

    assert asyncio.run(ask()) == [200, 200, 504]


def out_of_memory() -> None:
    raise MemoryError


def out_of_gpu() -> None:
    raise sys.modules["torch"].OutOfMemoryError("CUDA out of memory: private words")


@pytest.mark.parametrize("work", [out_of_memory, out_of_gpu])
def test_out_of_memory_asks_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]
) -> None:
    kind = type("OutOfMemoryError", (RuntimeError,), {})
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(OutOfMemoryError=kind))

    async def ask() -> httpx.Response:
        async with running(answering_app(tmp_path, Limits(), Answering(work))) as client:
            return await client.get(ASK)

    answer = asyncio.run(ask())
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert "memory" in answer.text and "private" not in answer.text


def test_who_asks_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    app = answering_app(tmp_path, Limits(rate="2/minute"), Answering())

    async def ask() -> None:
        async with running(app, "10.0.0.1") as client:
            answers = [await client.get(ASK) for _ in range(3)]
            assert [each.status_code for each in answers] == [200, 200, 429]
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
            assert (await client.get("/healthz")).status_code == 200
        async with running(app, "10.0.0.2") as client:
            assert (await client.get(ASK)).status_code == 200
        async with running(app, "127.0.0.1") as client:
            assert {(await client.get(ASK)).status_code for _ in range(3)} == {200}

    asyncio.run(ask())


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis server of our own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server")
    port = free_port()
    options = ["--port", str(port), "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens)
    yield f"redis://127.0.0.1:{port}", server
    server.kill()
    server.wait()


def test_workers_count_together_and_go_on_without_redis(
    tmp_path: Path, redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    url, server = redis
    limits = Limits(rate="2/minute", rate_storage=url)
    apps = [answering_app(tmp_path, limits, Answering()) for _ in range(2)]

    async def ask() -> None:
        async with running(apps[0]) as one, running(apps[1]) as other:
            assert [(await each.get(ASK)).status_code for each in (one, other, one, other)] == [
                200,
                200,
                429,
                429,
            ]
            server.kill()
            server.wait()
            assert (await one.get(ASK)).status_code == 200

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("rate", "storage"), [("often", "memory://"), ("1/second", "nowhere://x:secret@y")]
)
def test_senseless_rates_are_refused(rate: str, storage: str) -> None:
    with pytest.raises(MediadexError, match="100/second") as refused:
        Rate(rate, storage)
    assert "secret" not in str(refused.value)

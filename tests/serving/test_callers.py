"""Who asks is known by a token that stands in a file, counted alone, and bounded by its kind."""

import asyncio
from pathlib import Path

import httpx
from answering import Answering, answering_app, running

from pipelines.rights import Caller
from pipelines.tokens import Tokens
from serving.limits import Limits

ASK = "/v1/search?text=x"


def test_each_caller_is_counted_alone_and_wrong_tokens_by_their_address(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    ana, bob, eve = (f"Bearer {tokens.add(Caller(user=name))}" for name in ("ana", "bob", "eve"))
    app = answering_app(tmp_path, Limits(rate="2/minute"), Answering())

    async def codes(client: httpx.AsyncClient, said: str, times: int) -> list[int]:
        headers = {"Authorization": said}
        return [(await client.get(ASK, headers=headers)).status_code for _ in range(times)]

    async def work() -> None:
        async with running(app, "10.0.0.1") as client:
            assert await codes(client, ana, 3) == [200, 200, 429]
            assert await codes(client, bob, 1) == [200]
            assert await codes(client, "Bearer wrong", 3) == [401, 401, 429]
        async with running(app, "10.0.0.2") as client:
            assert await codes(client, eve.replace("Bearer", "Basic"), 1) == [401]

    asyncio.run(work())


def test_a_change_of_the_same_length_is_seen_and_a_home_that_is_away_locks_nobody_out(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    tokens, other = Tokens(home / "tokens.json"), Tokens(home / "tokens.json")
    token = tokens.add(Caller(user="ana", region="eu"))
    assert other.caller(token) == Caller(user="ana", region="eu")
    fresh = home / "fresh"
    fresh.write_text(tokens.path.read_text().replace('"eu"', '"us"'))
    fresh.replace(tokens.path)
    assert other.caller(token) == Caller(user="ana", region="us")
    home.rename(tmp_path / "elsewhere")
    assert other.caller(token) == Caller(user="ana", region="us")


def test_json_is_held_in_memory_and_bounded_so(tmp_path: Path) -> None:
    app = answering_app(tmp_path, Limits(json_bytes=100, body_bytes=10_000, rate=""), Answering())

    async def work() -> list[int]:
        async with running(app) as client:
            long = "x" * 500
            said = await client.post("/v1/search", json={"text": long})
            form = await client.post("/v1/search/file", files={"file": ("a.txt", long.encode())})
            return [said.status_code, form.status_code]

    assert asyncio.run(work()) == [413, 200]

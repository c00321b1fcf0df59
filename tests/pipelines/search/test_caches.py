"""Caches: for how long, in which order, how many; and what one query may take from another."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from waiting import wait_until

from pipelines.errors import MediadexError
from pipelines.search.caches import LEVELS, Cache, MemoryCache, RedisCache, SemanticCache, key_of


class Clock:
    """A time that stands still until it is set on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> MemoryCache:
    return MemoryCache(timer=clock)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server of our own, on a socket that nobody else has."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is absent")
    pytest.importorskip("redis")
    folder = tmp_path_factory.mktemp("redis")
    socket = folder / "s"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([server, *options], stdout=subprocess.DEVNULL)
    wait_until(socket.exists)
    yield f"unix://{socket}"
    process.terminate()
    process.wait(10)


@pytest.fixture
def redis(redis_url: str) -> RedisCache:
    cache = RedisCache(redis_url)
    cache.clear()
    return cache


def test_each_level_keeps_its_entries_for_its_time(memory: MemoryCache, clock: Clock) -> None:
    assert LEVELS == {
        "embedding": 3600,
        "results": 24 * 3600,
        "semantic": 7 * 24 * 3600,
        "prompts": 1800,
    }
    for level, seconds in LEVELS.items():
        clock.now = 0.0
        memory.set(level, "k", b"v")
        clock.now = seconds - 0.001
        assert memory.get(level, "k") == b"v", level
        clock.now = seconds
        assert memory.get(level, "k") is None, level
        memory.set(level, "k", b"w")
        assert memory.get(level, "k") == b"w", level


def test_times_may_be_shortened(clock: Clock) -> None:
    memory = MemoryCache({**LEVELS, "results": 5.0}, timer=clock)
    memory.set("results", "k", b"v")
    memory.set("embedding", "k", b"v")
    clock.now = 6.0
    assert memory.get("results", "k") is None and memory.get("embedding", "k") == b"v"


def test_the_least_recently_used_goes_first(clock: Clock) -> None:
    memory = MemoryCache(entries=3, timer=clock)
    for number, key in enumerate("abc"):
        clock.now = float(number)
        memory.set("results", key, key.encode())
    assert memory.get("results", "a") == b"a"
    memory.set("results", "d", b"d")
    left = {key for key in "abcd" if memory.read("results", key)}
    assert left == {"a", "c", "d"}
    memory.set("results", "c", b"again")
    memory.read("results", "d")
    memory.read("results", "a")
    memory.set("results", "e", b"e")
    assert memory.read("results", "c") is None, "the oldest use counts, not the oldest entry"
    memory.set("embedding", "x", b"x")
    assert memory.read("results", "a") == b"a", "levels do not push each other out"


def test_hits_and_misses_are_counted_by_level(memory: MemoryCache) -> None:
    memory.set("results", "a", b"1")
    memory.get("results", "a")
    memory.get("results", "a")
    memory.get("results", "b")
    memory.get("prompts", "a")
    assert memory.stats() == {
        "embedding": (0, 0),
        "results": (2, 1),
        "semantic": (0, 0),
        "prompts": (0, 1),
    }
    memory.clear()
    assert memory.get("results", "a") is None


def test_threads_may_share_a_cache() -> None:
    small = MemoryCache(entries=8)
    errors: list[Exception] = []

    def work(seed: int) -> None:
        try:
            for number in range(500):
                key = str((seed * number) % 20)
                small.set("results", key, key.encode())
                found = small.get("results", str(number % 20))
                assert found in (None, str(number % 20).encode())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and sum(small.stats()["results"]) == 2000


def test_keys_are_digests_of_what_is_said_however_it_is_ordered() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    keys = [key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of(["ab", "c"]), key_of()]
    assert len({*keys, key_of(1), key_of("1"), key_of(None), key_of("é")}) == 9
    assert all(len(key) == 64 and int(key, 16) >= 0 for key in keys)


# --- Redis ---------------------------------------------------------------------------------------


def test_redis_keeps_for_a_time_and_is_shared(redis: RedisCache, redis_url: str) -> None:
    short = RedisCache(redis_url, {**LEVELS, "prompts": 0.5})
    short.set("prompts", "k", b"\x00\xff")
    short.set("results", "k", b"v")
    assert redis.get("prompts", "k") == b"\x00\xff" and redis.get("results", "k") == b"v"
    assert redis.stats()["prompts"] == (1, 0)
    wait_until(lambda: redis.get("prompts", "k") is None)
    assert redis.get("results", "k") == b"v" and redis.failures == 0
    server = redis._redis
    assert 0 < server.pttl("mediadex:results:k") <= 24 * 3600 * 1000
    redis.clear()
    assert redis.get("results", "k") is None and list(server.scan_iter("*")) == []


def test_no_text_of_a_query_stands_in_redis_keys(redis: RedisCache) -> None:
    semantic = SemanticCache(redis)
    redis.set("results", key_of("r1", "a secret wish", {"k": 10}), b"{}")
    semantic.set("r1 and a secret scope", "a secret wish 7", vector(1), b"{}")
    names = [name.decode() for name in redis._redis.scan_iter("*")]
    assert len(names) == 3
    for name in names:
        prefix, level, key = name.split(":")
        assert prefix == "mediadex" and level in LEVELS and int(key, 16) >= 0


def test_redis_out_of_reach_is_a_miss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis")
    from pipelines.search import caches

    gone = RedisCache(f"unix://{tmp_path}/nobody")
    gone.set("results", "k", b"v")
    assert gone.get("results", "k") is None and gone.failures == 1, "it is left alone for a while"
    monkeypatch.setattr(caches, "_PAUSE_S", 0.0)
    gone._silent_until = 0.0
    assert gone.get("results", "k") is None and gone.failures == 2
    assert SemanticCache(gone).get("s", "t", vector(1)) is None
    with pytest.raises(MediadexError, match="may keep answers"):
        gone.clear()
    assert gone.stats()["results"] == (0, 2)


# --- By meaning ----------------------------------------------------------------------------------


def vector(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=32).astype(np.float32)


def at_cosine(origin: np.ndarray, cosine: float) -> np.ndarray:
    """A vector, of any length, that lies at an angle from another."""
    unit = origin / np.linalg.norm(origin)
    other = vector(99) - (vector(99) @ unit) * unit
    other /= np.linalg.norm(other)
    return 3 * (cosine * unit + np.sqrt(1 - cosine**2) * other)


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest) -> Cache:
    return request.getfixturevalue(request.param)


def test_what_means_the_same_is_answered_the_same(cache: Cache) -> None:
    semantic = SemanticCache(cache)
    assert semantic.get("s", "a boat", vector(1)) is None
    semantic.set("s", "a boat", vector(1), b"boat")
    semantic.set("s", "a horse", vector(2), b"horse")
    assert semantic.get("s", "one boat", at_cosine(vector(1), 0.91)) == b"boat"
    assert semantic.get("s", "a coat", at_cosine(vector(1), 0.89)) is None
    assert semantic.get("s", "a horse", vector(2)) == b"horse"
    assert cache.stats()["semantic"] == (2, 2)
    nearer = at_cosine(vector(1), 0.95)
    semantic.set("s", "the boat", nearer, b"nearer")
    assert semantic.get("s", "that boat", nearer) == b"nearer"
    semantic.set("s", "the boat", nearer, b"newer")
    assert semantic.get("s", "that boat", nearer) == b"newer"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("invoices of march", "invoices of april"),
        ("the meeting on monday", "the meeting on friday"),
        ("photos from before noon", "photos from after noon"),
        ("temperatures above zero", "temperatures below zero"),
        ("a video with sound", "a video without sound"),
        ("cars that are red", "cars that are not red"),
        ("cars that are red", "cars that aren\u2019t red"),
        ("not red but blue", "not blue but red"),
        ("a train from Berlin to Paris", "a train from Paris to Berlin"),
        ("over ten people", "under ten people"),
        ("two dogs and three cats", "three dogs and two cats"),
        ("from 5 to 7", "from 7 to 5"),
        ("-5 degrees", "5 degrees"),
        ("page 1.5", "page 15"),
    ],
)
def test_words_that_turn_a_question_around_must_be_the_same(
    memory: MemoryCache, one: str, other: str
) -> None:
    semantic = SemanticCache(memory)
    semantic.set("s", one, vector(1), b"one")
    assert semantic.get("s", other, vector(1)) is None
    assert semantic.get("s", f"Show {one.upper()}?", vector(1)) == b"one"


def test_scopes_and_words_with_digits_are_never_mixed(memory: MemoryCache) -> None:
    semantic = SemanticCache(memory)
    scope = key_of("r1", "eu", None)
    semantic.set(scope, "invoice 1234 of may", vector(1), b"1234")
    assert semantic.get(scope, "an Invoice 1234 (of May)", vector(1)) == b"1234"
    for other in ("invoice 1235 of may", "invoice of may"):
        assert semantic.get(scope, other, vector(1)) is None
    for elsewhere in (key_of("r2", "eu", None), key_of("r1", "us", None)):
        assert semantic.get(elsewhere, "invoice 1234 of may", vector(1)) is None
    assert semantic.get(scope, "invoice 1234 of may", vector(1)[:16]) is None


def test_expired_answers_are_not_given(memory: MemoryCache, clock: Clock) -> None:
    semantic = SemanticCache(memory)
    semantic.set("s", "a", vector(1), b"old")
    clock.now = 6 * 24 * 3600.0
    semantic.set("s", "b", at_cosine(vector(1), 0.95), b"new")
    assert semantic.get("s", "a", vector(1)) == b"old"
    clock.now = 7 * 24 * 3600.0
    assert semantic.get("s", "a", vector(1)) == b"new", "the nearest is over, the next is not"
    clock.now = 14 * 24 * 3600.0
    assert semantic.get("s", "a", vector(1)) is None


def test_a_scope_is_bounded(memory: MemoryCache, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.search import caches

    monkeypatch.setattr(caches, "_NEIGHBOURS", 4)
    semantic = SemanticCache(memory)
    for number in range(6):
        semantic.set("s", "a", vector(number), str(number).encode())
    kept = [semantic.get("s", "a", vector(number)) for number in range(6)]
    assert kept == [None, None, b"2", b"3", b"4", b"5"]
    semantic.set("s", "a", np.zeros(32, np.float32), b"nothing")
    assert semantic.get("s", "a", np.zeros(32, np.float32)) is None


def test_what_is_given_back_cannot_be_changed_by_who_got_it(memory: MemoryCache) -> None:
    memory.set("results", "k", json.dumps({"query_id": "1"}).encode())
    first = json.loads(memory.get("results", "k") or b"")
    first["query_id"] = "2"
    assert json.loads(memory.get("results", "k") or b"") == {"query_id": "1"}

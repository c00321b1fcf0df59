"""Retrieval at 100 000 items: tables and their mirror in memory, each latency beside its recall.

    python tests/benchmarks/bench_search.py [--items 100000] [--rounds 5] [--queries 100]
                                             [--requests-only]

First the engines alone, then whole requests: all steps of a query, without and with HTTP. Encoders
know the vectors of the queries, so that encoding takes no time; no answer comes from a cache.

Items are synthetic: topics within themes, seen by four vector channels, each in a space of its own
with a noise of its own, and said in a passage. Queries are items that are not in the tables.
Rounds are interleaved, so that a slow moment of the machine meets every line. A line gives medians
over the rounds, with their ranges; recall is of the best ten, against all products.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from pipelines.models import factory
from pipelines.models.protocols import Identity, ModelChoice
from pipelines.releases import log
from pipelines.releases.candidate import build
from pipelines.releases.events import Event
from pipelines.releases.manifest import Manifest, Verdict
from pipelines.search import retrieval
from pipelines.search.asked.query import Query
from pipelines.search.engines.found import Found
from pipelines.search.engines.lance import LanceEngine
from pipelines.search.engines.mirror import Mirror
from pipelines.search.engines.protocol import Allowed, Engine
from pipelines.search.searcher import Searcher
from pipelines.settings import load_settings
from pipelines.store import Store
from pipelines.tables.vectors import SearchTable

CHANNELS = ("visual", "caption", "meta", "ocr")
FILTERS = {
    "all": None,
    "50 %": "region = 'half'",
    "10 %": "domain = 'tenth'",
    "1 %": "usage_rights = 'hundredth'",
}
ROWS = 200
BEST = 10
IN_FLIGHT = 8
CHUNK = 20_000
MORE = 100
CONSOLE = Console(width=110)
WIDTH = 384

Request = Callable[[int], Awaitable[Found]]


@dataclass
class World:
    """What was made: items and queries by channel, the items' attributes, the queries' words."""

    items: dict[str, np.ndarray]
    queries: dict[str, np.ndarray]
    attributes: dict[str, np.ndarray]
    passages: list[str]
    words: list[str]

    def keep(self, home: Path) -> None:
        """Write the queries where servers find them."""
        np.savez(home / "queries.npz", words=np.array(self.words), **self.queries)

    def exact(self, channel: str, allowed: np.ndarray) -> list[set[str]]:
        """Return the best items of each query, by comparing them all."""
        numbers = np.flatnonzero(allowed)
        products = self.queries[channel] @ self.items[channel][numbers].T
        best = np.argpartition(-products, BEST - 1, axis=1)[:, :BEST]
        return [{item_id(number) for number in numbers[each]} for each in best]


def main() -> None:
    """Make a release, ask it in all ways and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each saturated round")
    parser.add_argument("--requests-only", action="store_true", help="leave out engines alone")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{options.items} items, {os.cpu_count()} cores, load {load:.1f} before the start")
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(bench(Path(scratch), options))


async def bench(home: Path, options: argparse.Namespace) -> None:
    """Run every section over the same release."""
    world, store = imagine(options.items, options.queries), Store(str(home))
    started = time.perf_counter()
    fill(store, world, range(options.items))
    manifest = released(store, min(20_000, options.items))
    world.keep(home)
    tables = LanceEngine(store, manifest)
    print(f"written and indexed in {time.perf_counter() - started:.0f} s")
    await tables.open()
    mirror = await built(tables)
    engines: dict[str, Engine] = {"tables": tables, "mirror": mirror}
    if not options.requests_only:
        await one_channel(engines, world, options.rounds)
        await fused(engines, world, options.rounds)
        await saturated(engines, world, options.rounds, options.seconds)
    await whole(home, engines, world, options)


async def built(tables: LanceEngine) -> Mirror:
    """Build the mirror, watching what the event loop feels of it."""
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - before - 0.001)

    watching = asyncio.create_task(watch())
    started = time.perf_counter()
    mirror = await Mirror.built(tables, 1 << 40)
    seconds = time.perf_counter() - started
    watching.cancel()
    size = mirror.nbytes / 2**20
    print(
        f"mirror: {size:.0f} MiB in {seconds:.1f} s; the loop waited {1000 * worst:.1f} ms at most"
    )
    return mirror


async def one_channel(engines: dict[str, Engine], world: World, rounds: int) -> None:
    """One channel, under no filter and under each."""
    channel = CHANNELS[0]
    requests: dict[str, Request] = {}
    truth: dict[str, list[set[str]]] = {}
    for share, where in FILTERS.items():
        truth[share] = world.exact(channel, world.attributes[share])
        for name, engine in engines.items():
            requests[f"{name}, {share}"] = request(engine, world, Allowed(where), (channel,))
    recalls = {}
    for name, ask in requests.items():
        found = [best_of(await ask(number)) for number in range(len(world.words))]
        true = truth[name.split(", ")[1]]
        recalls[name] = float(
            np.mean([len(f & t) / len(t) for f, t in zip(found, true, strict=True)])
        )
    show("one channel", await timed(requests, len(world.words), rounds), recalls)


async def fused(engines: dict[str, Engine], world: World, rounds: int) -> None:
    """Four channels and the passages at once, beside each alone."""
    requests: dict[str, Request] = {}
    for name, engine in engines.items():
        for share, where in FILTERS.items():
            allowed = Allowed(where)
            requests[f"{name}, {share}"] = request(engine, world, allowed, CHANNELS, words=True)
        requests[f"{name}, one channel"] = request(engine, world, Allowed(), CHANNELS[:1])
        requests[f"{name}, passages"] = request(engine, world, Allowed(), words=True)
    show("four channels and passages", await timed(requests, len(world.words), rounds))


async def saturated(engines: dict[str, Engine], world: World, rounds: int, seconds: float) -> None:
    """Fused requests a second with some always in flight, and what each takes of the cores."""
    requests: dict[str, Request] = {}
    for name, engine in engines.items():
        for share in ("all", "10 %"):
            allowed = Allowed(FILTERS[share])
            requests[f"{name}, {share}"] = request(engine, world, allowed, CHANNELS, words=True)
        requests[f"{name}, vectors"] = request(engine, world, Allowed(), CHANNELS)
        requests[f"{name}, passages"] = request(engine, world, Allowed(), words=True)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in requests}
    for _ in range(rounds):
        for name, ask in requests.items():
            rates[name].append(await rate(ask, len(world.words), seconds))
    table = Table(f"fused, {IN_FLIGHT} in flight", "requests a second", "CPU ms a request")
    for name, values in rates.items():
        answered, taken = zip(*values, strict=True)
        table.add_row(name, spread(answered, 0), spread(taken))
    CONSOLE.print(table)


async def whole(
    home: Path, engines: dict[str, Engine], world: World, options: argparse.Namespace
) -> None:
    """Whole requests over HTTP beside the engine calls that they make, and how many a second."""
    ports = {name: free_port() for name in engines}
    servers = [
        serve(home, ports["tables"], workers=1, mirror_bytes=0),
        serve(home, ports["mirror"], workers=os.cpu_count() or 1, mirror_bytes=1 << 33),
    ]
    try:
        for port in ports.values():
            await asyncio.to_thread(until_ready, port)
        repeats = Repeats(world)
        for port in ports.values():
            await asyncio.to_thread(warmed, port, repeats)
        requests: dict[str, Request] = {}
        for name, engine in engines.items():
            bare = request(engine, world, Allowed(), CHANNELS, words=True)
            requests[f"{name}, first searches"] = bare
            requests[f"{name}, engine calls"] = await engine_calls(home, engine, world)
            requests[f"{name}, HTTP"] = over_http(ports[name], repeats, CHANNELS)
            requests[f"{name}, HTTP, one channel"] = over_http(ports[name], repeats, CHANNELS[:1])
        recalls = {}
        for count, end in ((len(CHANNELS), ""), (1, ", one channel")):
            exact = await exact_answers(home, world, count)
            for name, port in ports.items():
                found = answers(port, repeats, count)
                recalls[f"{name}, HTTP{end}"] = share_of(exact, found)
        best = await best_of_all(home, engines["mirror"], world)
        for name, port in ports.items():
            share = share_of(best, answers(port, repeats, len(CHANNELS)))
            print(f"{name}: {share:.3f} of the best ten when all channels score every item")
        times = await timed(requests, len(world.words), options.rounds)
        show("whole requests", times, recalls)
        ratios(times)
        await asyncio.to_thread(curve, ports["mirror"], repeats, options)
        await asyncio.to_thread(switches, home, ports["mirror"], repeats, options)
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def ratios(times: dict[str, np.ndarray]) -> None:
    """Print what a whole request takes over the engine's part, and four channels over one.

    The first searches are those of the channels and passages; all engine calls are these, the
    likeness of what one channel found in the others, and the rows that are shown.
    """
    table = Table("ratios of a round, median and range", "tables", "mirror")
    for title, above, below, percent in (
        ("HTTP p95 over the engine calls' p95", "HTTP", "engine calls", 95),
        ("HTTP p95 over the first searches' p95", "HTTP", "first searches", 95),
        ("four channels' p50 over one channel's, HTTP", "HTTP", "HTTP, one channel", 50),
    ):
        cells = []
        for name in ("tables", "mirror"):
            one, other = (
                np.percentile(times[f"{name}, {each}"], percent, axis=1) for each in (above, below)
            )
            cells.append(spread(one / other, 2))
        table.add_row(title, *cells)
    CONSOLE.print(table)


class Repeats:
    """The same queries, each time asked so that no answer of a cache fits.

    That the channels are named in another order makes it another question, and the same work.
    """

    def __init__(self, world: World):
        self.world = world
        self._orders = {
            count: [*permutations((*CHANNELS[:count], "bm25"))] for count in range(1, 5)
        }
        self._asked: Counter[tuple[int, int]] = Counter()

    def body(self, number: int, channels: int) -> bytes:
        """Return the next request for a query."""
        orders = self._orders[channels]
        order = orders[self._asked[number, channels] % len(orders)]
        times = self._asked[number, channels] // len(orders)
        self._asked[number, channels] += 1
        asked = {"text": self.world.words[number], "k": BEST + times, "channels": order}
        return json.dumps(asked).encode()


class Client:
    """A connection that stays open, and does next to nothing beside sending and receiving.

    It shares the cores with the server that is measured.
    """

    def __init__(self, port: int):
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, body: bytes) -> bytes:
        """Ask, hold the answer to be a new one with results, and return its document."""
        head = f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = self._exchanged(head.encode() + body)
        document = answer[answer.index(b"\r\n\r\n") + 4 :]
        known = b'"cached":null' in document and b'"results":[{' in document
        if not answer.startswith(b"HTTP/1.1 200 ") or not known:
            raise RuntimeError(answer.decode())
        return document

    def _exchanged(self, request: bytes) -> bytes:
        for fresh in (self._socket is None, True):
            if fresh:
                self._socket = socket.create_connection(("127.0.0.1", self._port))
            assert self._socket is not None
            self._socket.sendall(request)
            answer = self._received(self._socket)
            if answer:
                return answer
            # The server closes what was idle for seconds.
        raise RuntimeError("the server closed the connection")

    def _received(self, connection: socket.socket) -> bytes:
        answer, whole = b"", None
        while whole is None or len(answer) < whole:
            part = connection.recv(1 << 16)
            if not part:
                return b""
            answer += part
            if whole is None and (end := answer.find(b"\r\n\r\n")) >= 0:
                length = re.search(rb"(?i)content-length: (\d+)", answer[:end])
                whole = end + 4 + int(length[1] if length else 0)
        return answer


def warmed(port: int, repeats: Repeats) -> None:
    """Ask until no process behind a port has first things to do: to load what masks the journal."""
    before, rate = 0.0, answered_a_second(port, repeats, 10, IN_FLIGHT)
    while rate > 1.05 * before:
        before, rate = rate, answered_a_second(port, repeats, 10, IN_FLIGHT)


def over_http(port: int, repeats: Repeats, channels: Sequence[str]) -> Request:
    """Return a request over HTTP."""
    client = Client(port)

    async def ask(number: int) -> Found:
        # Nothing else runs meanwhile, so that a thread would only add its own time.
        client.ask(repeats.body(number, len(channels)))
        return Found()

    return ask


class Noted:
    """Passes calls on to an engine, and notes them."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        def call(*args: Any) -> Awaitable[Any]:
            self.calls.append((name, args))
            return getattr(self._engine, name)(*args)  # type: ignore[no-any-return]

        return call


async def engine_calls(home: Path, engine: Engine, world: World) -> Request:
    """Return what makes all the calls that a query makes of its engine, and nothing else."""
    searcher, calls = searching(home), []
    for text in world.words:
        searcher.engine = noted = Noted(engine)  # type: ignore[assignment]
        await searcher.answer(Query(text, k=BEST))
        calls.append(noted.calls)

    async def ask(number: int) -> Found:
        for together in (("nearest", "match"), ("similarity",), ("told",)):
            made = (each for each in calls[number] if each[0] in together)
            await asyncio.gather(*(getattr(engine, name)(*args) for name, args in made))
        return Found()

    return ask


def searching(home: Path, **changed: Any) -> Searcher:
    """Open the release, with changes to how its channels are asked."""
    factory.channel_encoder = Told.by(home)  # type: ignore[assignment]
    store = Store(str(home))
    manifest = log.require(store)
    channels = {
        name: version.model_copy(update=changed) for name, version in manifest.channels.items()
    }
    asked = manifest.model_copy(update={"channels": channels})
    return Searcher(store, asked, load_settings(home))


async def exact_answers(home: Path, world: World, channels: int) -> list[set[str]]:
    """Return the best items of each query by all steps, each channel being scanned exactly."""
    return await shown(searching(home, indexed=False), world, (*CHANNELS[:channels], "bm25"))


def answers(port: int, repeats: Repeats, channels: int) -> list[set[str]]:
    """Return the best items of each query over HTTP."""
    client = Client(port)
    documents = (
        json.loads(client.ask(repeats.body(number, channels)))
        for number in range(len(repeats.world.words))
    )
    return [{each["item_id"] for each in document["results"][:BEST]} for document in documents]


async def best_of_all(home: Path, engine: Engine, world: World) -> list[set[str]]:
    """Return the best items of each query where no channel leaves any item out."""
    searcher, usual = searching(home), retrieval.CANDIDATES
    searcher.engine, retrieval.CANDIDATES = engine, len(world.passages)
    try:
        return await shown(searcher, world, (*CHANNELS, "bm25"))
    finally:
        retrieval.CANDIDATES = usual


async def shown(searcher: Searcher, world: World, channels: tuple[str, ...]) -> list[set[str]]:
    """Return the best items of each query by some channels, by all steps."""
    queries = (Query(text, k=BEST, channels=channels) for text in world.words)
    found = [await searcher.answer(query) for query in queries]
    return [{entry.item_id for entry in each.shown} for each in found]


def share_of(exact: Sequence[set[str]], found: Sequence[set[str]]) -> float:
    """Return which share of the exact answers was found, as a mean over the queries."""
    shares = [len(one & other) / len(one) for one, other in zip(exact, found, strict=True)]
    return float(np.mean(shares))


def curve(port: int, repeats: Repeats, options: argparse.Namespace) -> None:
    """Print how many requests are answered in a second, by how many are in flight."""
    rates: dict[int, list[float]] = {count: [] for count in (1, 2, 4, 8, 16)}
    for _ in range(options.rounds):
        for count, found in rates.items():
            found.append(answered_a_second(port, repeats, options.seconds, count))
    cores = os.cpu_count() or 1
    table = Table("HTTP with the mirror, in flight", "requests a second", "a core")
    for count, found in rates.items():
        table.add_row(str(count), spread(found, 0), spread(np.array(found) / cores, 0))
    CONSOLE.print(table)


def answered_a_second(port: int, repeats: Repeats, seconds: float, in_flight: int) -> float:
    """Return how many requests are answered in a second with some always in flight."""
    started = time.perf_counter()

    def ask_on(number: int) -> int:
        client, answered = Client(port), 0
        while time.perf_counter() - started < seconds:
            place = (number + answered * in_flight) % len(repeats.world.words)
            client.ask(repeats.body(place, len(CHANNELS)))
            answered += 1
        return answered

    with ThreadPoolExecutor(in_flight) as pool:
        answered = sum(pool.map(ask_on, range(in_flight)))
    return answered / (time.perf_counter() - started)


def switches(home: Path, port: int, repeats: Repeats, options: argparse.Namespace) -> None:
    """Ask without a pause while releases with some more items in every table are promoted."""
    client, first, late = Client(port), [], []
    spawn, place = multiprocessing.get_context("spawn"), 0

    def ask() -> tuple[str, float]:
        nonlocal place
        body = repeats.body(place % len(repeats.world.words), len(CHANNELS))
        place += 1
        started = time.perf_counter()
        answer = client.ask(body)
        took = time.perf_counter() - started
        return json.loads(answer)["release"], took

    for number in range(2, options.rounds + 2):
        usual = statistics.median(ask()[1] for _ in range(50))
        promoted = spawn.Value("d", 0.0)
        growing = spawn.Process(target=grow, args=(home, number, promoted))
        growing.start()
        serving, took = "", 0.0
        while serving != f"r{number:06d}":
            serving, took = ask()
        growing.join()
        first.append(took / usual)
        late.append(time.time() - promoted.value)
    print(
        f"{MORE} items more: the first query of a new release takes {spread(first, 2)} times the "
        f"median of those before; it serves {spread(late, 2)} s after its promotion"
    )


def grow(home: Path, number: int, promoted: Any) -> None:
    """Add some items to every table and promote a release, in a process of its own."""
    store = Store(str(home))
    fill(store, imagine(MORE, 1), range(MORE), f"again-{number}-")
    released(store, 20_000, number)
    promoted.value = time.time()


def serve(home: Path, port: int, workers: int, mirror_bytes: int) -> subprocess.Popen[bytes]:
    """Start the server over the home, with encoders that know the queries."""
    command = [sys.executable, "-m", "uvicorn", "bench_search:served", "--factory"]
    command += ["--app-dir", str(Path(__file__).parent), "--port", str(port)]
    command += ["--workers", str(workers), "--log-level", "error", "--no-access-log"]
    command += ["--timeout-worker-healthcheck", "300"]
    known = {"MEDIADEX_HOME": str(home), "MEDIADEX_MIRROR_BYTES": str(mirror_bytes)}
    bounds = {"MEDIADEX_SERVE_RATE": "", "MEDIADEX_SERVE_CONCURRENT": "64"}
    return subprocess.Popen(command, env=os.environ | known | bounds)


def served() -> Any:
    """Build the app of a server's process."""
    from serving.app import create_app

    settings = load_settings()
    factory.channel_encoder = Told.by(settings.home)  # type: ignore[assignment]
    return create_app(settings)


class Told:
    """An encoder that was told the vectors of the queries."""

    def __init__(self, channel: str, vectors: dict[str, np.ndarray]):
        self.identity = identity(channel)
        self._vectors = vectors

    @classmethod
    def by(cls, home: Path) -> Callable[[str, str], "Told"]:
        """Return what makes the encoder of a channel."""
        told = np.load(home / "queries.npz")
        words = told["words"].tolist()
        vectors = {name: dict(zip(words, told[name], strict=True)) for name in CHANNELS}
        return lambda kind, spec: cls(spec, vectors[spec])

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Look the vectors up; of other texts, all are alike."""
        other = np.full(WIDTH, WIDTH**-0.5, np.float32)
        return np.stack([self._vectors.get(text, other) for text in texts])


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def until_ready(port: int, seconds: float = 300.0) -> None:
    """Wait until a server can answer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            connection = HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                # Each of several processes comes up by itself.
                time.sleep(20)
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise RuntimeError("the server did not come up")


def released(store: Store, index_rows: int, number: int = 1) -> Manifest:
    """Index the tables and enter them as the serving release, past the gates."""
    encoders = {name: ModelChoice(name, identity(name)) for name in CHANNELS}
    manifest = build(store, encoders, index_rows, {})
    manifest = manifest.model_copy(update={"release": f"r{number:06d}"})
    verdict = Verdict(gates=[])
    log.append(store, lambda _: [Event("promoted", manifest.release, manifest, verdict)])
    return manifest


def identity(channel: str) -> Identity:
    """Return the identity of a channel's encoder: each has a space of its own."""
    return Identity(channel, "1", "0" * 64, "", WIDTH, "float32")


def request(
    engine: Engine,
    world: World,
    allowed: Allowed,
    channels: Sequence[str] = (),
    words: bool = False,
) -> Request:
    """Return a request of some channels, and of the passages, by a query's number."""

    async def ask(number: int) -> Found:
        legs = [
            engine.nearest(name, world.queries[name][number], allowed, ROWS, BEST)
            for name in channels
        ]
        if words:
            legs.append(engine.match(world.words[number], allowed, ROWS, BEST))
        return (await asyncio.gather(*legs))[0]

    return ask


async def timed(requests: dict[str, Request], count: int, rounds: int) -> dict[str, np.ndarray]:
    """Return milliseconds by name: (rounds, queries), one query at a time."""
    times = {name: np.empty((rounds, count)) for name in requests}
    for each in range(rounds):
        for name, ask in requests.items():
            await ask(0)
            for number in range(count):
                started = time.perf_counter()
                await ask(number)
                times[name][each, number] = 1000 * (time.perf_counter() - started)
    return times


async def rate(ask: Request, count: int, seconds: float) -> tuple[float, float]:
    """Return how many requests are answered in a second, and milliseconds of CPU for each."""
    started, taken, answered = time.perf_counter(), time.process_time(), 0

    async def client(number: int) -> None:
        nonlocal answered
        while time.perf_counter() - started < seconds:
            await ask(number % count)
            number += IN_FLIGHT
            answered += 1

    await asyncio.gather(*map(client, range(IN_FLIGHT)))
    taken = 1000 * (time.process_time() - taken)
    return answered / (time.perf_counter() - started), taken / answered


def show(title: str, times: dict[str, np.ndarray], recalls: dict[str, float] | None = None) -> None:
    """Print a line for each way of asking."""
    recalls = recalls or {}
    table = Table(title, "recall@10", "p50 ms", "p95 ms", "p99 ms")
    for name, values in times.items():
        shares = [spread(np.percentile(values, each, axis=1)) for each in (50, 95, 99)]
        table.add_row(name, f"{recalls[name]:.3f}" if name in recalls else "", *shares)
    CONSOLE.print(table)


def spread(values: Sequence[float] | np.ndarray, digits: int = 1) -> str:
    """Write a median with its range."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f}  {low:.{digits}f} .. {high:.{digits}f}"


def best_of(found: Found) -> set[str]:
    """Return the best items."""
    return set(sorted(found, key=lambda each: -found[each].value)[:BEST])


def item_id(number: int) -> str:
    """Name an item."""
    return f"{number:016x}"


def imagine(items: int, queries: int) -> World:
    """Make items and queries; dimensions matter less and less, as in real embeddings."""
    rng = np.random.default_rng(0)
    count, width, topics = items + queries, WIDTH, max(10, items // 50)
    topic = np.minimum(rng.zipf(1.2, count) - 1, rng.integers(0, topics, count))
    decay = (1 + np.arange(width)) ** -0.5
    made = {}
    for name in CHANNELS:
        themes = rng.normal(size=(60, width))
        centres = themes[rng.integers(0, 60, topics)] + rng.normal(size=(topics, width))
        space, _ = np.linalg.qr(rng.normal(size=(width, width)))
        vectors = centres[topic] + rng.normal(size=(count, width))
        vectors = ((vectors * decay) @ space).astype(np.float32)
        made[name] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    drawn = rng.random((3, items))
    attributes = {"all": np.ones(items, bool)}
    for share, draw, limit in zip(list(FILTERS)[1:], drawn, (0.5, 0.1, 0.01), strict=True):
        attributes[share] = draw < limit
    texts = []  # Words are as frequent as those of a language less its thirty commonest.
    for each in topic:
        common = (30 * np.exp(rng.random(14) * np.log(1_000))).astype(int)
        own = each * 7 + rng.integers(0, 7, 4)
        texts.append(" ".join([f"w{n}" for n in common] + [f"t{n}" for n in own]))
    return World(
        {name: vectors[:items] for name, vectors in made.items()},
        {name: vectors[items:] for name, vectors in made.items()},
        attributes,
        texts[:items],
        # What people type is short: two common words and two of the topic.
        [" ".join(text.split()[12:16]) for text in texts[items:]],
    )


def fill(store: Store, world: World, numbers: range, prefix: str = "") -> None:
    """Write the rows of some items, past the steps that would make them."""
    count = len(numbers)
    ids = [prefix + item_id(number) for number in numbers]
    region, domain, rights = (
        np.where(world.attributes[share][numbers], value, "other")
        for share, value in (("50 %", "half"), ("10 %", "tenth"), ("1 %", "hundredth"))
    )
    common = {
        "key": ids,
        "item_id": ids,
        "uri": [f"s3://media/archive/{each}.jpg" for each in ids],
        "title": [f"Picture {each}" for each in ids],
        "kind": ["image"] * count,
        "segment": ["image"] * count,
        "region": region,
        "domain": domain,
        "usage_rights": rights,
    }
    for name in CHANNELS:
        flat = pa.array(world.items[name][numbers].ravel())
        vectors = pa.FixedSizeListArray.from_arrays(flat, WIDTH)
        write(store.channel(name, identity(name)), common | {"vector": vectors})
    texts = [world.passages[number] for number in numbers]
    write(store.passages, common | {"text": texts, "source": ["ocr"] * count})


def write(table: SearchTable, columns: dict[str, object]) -> None:
    """Add columns to a table; those that are missing are empty."""
    count = len(columns["key"])  # type: ignore[arg-type]
    rows = pa.table(
        {
            field.name: columns.get(field.name, pa.nulls(count, field.type))
            for field in table.schema
        },
        table.schema,
    )
    created = table._created()
    for start in range(0, count, CHUNK):
        created.add(rows.slice(start, CHUNK))


if __name__ == "__main__":
    main()

"""Retrieval at 100 000 items: tables and their mirror in memory, each latency beside its recall.

    python tests/benchmarks/bench_search.py [--items 100000] [--rounds 5] [--queries 100]

Items are synthetic: topics within themes, seen by four vector channels, each in a space of its own
with a noise of its own, and said in a passage. Queries are items that are not in the tables.
Rounds are interleaved, so that a slow moment of the machine meets every line. A line gives medians
over the rounds, with their ranges; recall is of the best ten, against all products.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from pipelines.models.protocols import Identity, ModelChoice
from pipelines.releases.candidate import build
from pipelines.search.engines.lance import LanceEngine
from pipelines.search.engines.mirror import Mirror
from pipelines.search.engines.protocol import Allowed, Engine, Found
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
CONSOLE = Console(width=110)
MODEL = Identity("bench", "1", "0" * 64, "", 384, "float32")

Request = Callable[[int], Awaitable[Found]]


@dataclass
class World:
    """What was made: items and queries by channel, the items' attributes, the queries' words."""

    items: dict[str, np.ndarray]
    queries: dict[str, np.ndarray]
    attributes: dict[str, np.ndarray]
    passages: list[str]
    words: list[str]

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
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{options.items} items, {os.cpu_count()} cores, load {load:.1f} before the start")
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(bench(Store(scratch), options))


async def bench(store: Store, options: argparse.Namespace) -> None:
    """Run every section over the same release."""
    world = imagine(options.items, options.queries)
    encoders = {name: ModelChoice("bench", MODEL) for name in CHANNELS}
    started = time.perf_counter()
    fill(store, world)
    tables = LanceEngine(store, build(store, encoders, min(20_000, options.items), {}))
    print(f"written and indexed in {time.perf_counter() - started:.0f} s")
    await tables.open()
    mirror = await built(tables)
    engines: dict[str, Engine] = {"tables": tables, "mirror": mirror}
    await one_channel(engines, world, options.rounds)
    await fused(engines, world, options.rounds)
    await saturated(engines, world, options.rounds, options.seconds)


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
    count, width, topics = items + queries, MODEL.dimension, max(10, items // 50)
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


def fill(store: Store, world: World) -> None:
    """Write all rows, past the steps that would make them."""
    count = len(world.passages)
    ids = [item_id(number) for number in range(count)]
    region, domain, rights = (
        np.where(world.attributes[share], value, "other")
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
        flat = pa.array(world.items[name].ravel())
        vectors = pa.FixedSizeListArray.from_arrays(flat, MODEL.dimension)
        write(store.channel(name, MODEL), common | {"vector": vectors})
    write(store.passages, common | {"text": world.passages, "source": ["ocr"] * count})


def write(table: SearchTable, columns: dict[str, object]) -> None:
    """Add columns to a new table; those that are missing are empty."""
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

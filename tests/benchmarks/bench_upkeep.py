"""Search in a table that grew for many rounds, over one built at once from the same rows.

    python tests/benchmarks/bench_upkeep.py [--rows 50000] [--rounds 20] [--repeats 5]

Each round adds 2 % of the rows, replaces 1 % and removes 0.5 %, and then publishes, which brings
the indexes up to date as a release does. `tidy` has upkeep after every fifth round, the last one
included; `evening` has it last four rounds ago; `unmanaged` never. Vectors are a synthetic mixture
of Gaussians. Repeats are interleaved, and recall@10 against an exact scan stands beside latency.
"""

import argparse
import asyncio
import datetime as dt
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.models.protocols import Identity
from pipelines.releases.candidate import _compact, _index_attributes, _index_vectors
from pipelines.search.retrieval import CANDIDATES
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.upkeep import search
from pipelines.upkeep.tidy import tidy

DIMENSION, CLUSTERS, QUERIES = 384, 500, 100
MODEL = Identity("synthetic", "1", "", "", DIMENSION, "float32")
CHUNK = 10_000


class Vectors:
    """Vectors by number and turn: a row that is replaced gets another one of its cluster."""

    def __init__(self) -> None:
        self._centres = np.random.default_rng(0).normal(size=(CLUSTERS, DIMENSION))

    def at(self, numbers: Sequence[int], turn: int) -> np.ndarray:
        noise = np.random.default_rng([turn, numbers[0]]).normal(size=(len(numbers), DIMENSION))
        made = self._centres[np.asarray(numbers) % CLUSTERS] + 0.7 * noise
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        stores = grow(Path(scratch), options.rows, options.rounds)
        asyncio.run(compare(stores, options.repeats))


def grow(scratch: Path, rows: int, rounds: int) -> dict[str, Store]:
    """Make the four tables; all hold the same rows in the end."""
    vectors = Vectors()
    live: dict[int, np.ndarray] = {}
    first = Store(str(scratch / "unmanaged"))
    put(first, vectors, range(rows), 0, live)
    publish(first)
    stores = {"unmanaged": first}
    for name in ("evening", "tidy"):
        shutil.copytree(first.root, scratch / name)
        stores[name] = Store(str(scratch / name))
    growth = rows // 50
    for turn in range(1, rounds + 1):
        rng = np.random.default_rng(turn)
        new = range(rows + growth * (turn - 1), rows + growth * turn)
        known = np.array(sorted(live))
        changed, gone = np.split(rng.permutation(known)[: growth * 3 // 4], [growth // 2])
        for name, store in stores.items():
            # Live rows are noted once: they are the same for each.
            note = live if name == "tidy" else {}
            put(store, vectors, new, turn, note)
            put(store, vectors, sorted(changed.tolist()), turn, note)
            table(store).remove([key(number) for number in gone])
            publish(store)
            late = turn if name == "tidy" else turn + 4
            if name != "unmanaged" and late % 5 == 0 and late <= rounds:
                house(store)
        for number in gone.tolist():
            del live[number]
    stores["fresh"] = Store(str(scratch / "fresh"))
    numbers = sorted(live)
    for start in range(0, len(numbers), CHUNK):
        part = numbers[start : start + CHUNK]
        table(stores["fresh"]).upsert([row(number, live[number]) for number in part])
    publish(stores["fresh"])
    return stores


def table(store: Store) -> Any:
    return store.channel("visual", MODEL)


def key(number: int) -> str:
    return f"{number:07d}"


def row(number: int, vector: np.ndarray) -> dict[str, Any]:
    name = key(number)
    return {
        "key": name,
        "item_id": name,
        "batch": str(number // 1000),
        "uri": f"file:///{name}",
        "region": ("eu", "us", "apac")[number % 3],
        "vector": vector,
    }


def put(
    store: Store, vectors: Vectors, numbers: Sequence[int], turn: int, live: dict[int, np.ndarray]
) -> None:
    for start in range(0, len(numbers), CHUNK):
        part = numbers[start : start + CHUNK]
        made = vectors.at(part, turn)
        live |= dict(zip(part, made, strict=True))
        rows = [row(number, vector) for number, vector in zip(part, made, strict=True)]
        table(store).upsert(rows)


def publish(store: Store) -> None:
    """Do to a table what making a release does."""
    opened = table(store).open()
    _index_vectors(opened, opened.count_rows(), 0)
    _index_attributes(opened, opened.count_rows(), 0)
    _compact(opened)


def house(store: Store) -> None:
    settings = Settings(home=Path(store.root), keep_days=0)
    tidy(store, settings, {table(store).name})


async def compare(stores: dict[str, Store], repeats: int) -> None:
    """Time the same queries on each table in turns, and print medians, ranges and recall."""
    import lancedb

    fresh = table(stores["fresh"]).open().to_arrow()
    every = np.stack(fresh["vector"].to_numpy(zero_copy_only=False))
    keys = fresh["key"].to_numpy(zero_copy_only=False)
    rng = np.random.default_rng(7)
    picked = every[rng.choice(len(every), QUERIES, replace=False)]
    queries = picked + 0.3 * rng.normal(size=picked.shape).astype(np.float32) / DIMENSION**0.5
    exact = [set(keys[np.argsort(-(every @ query))[:10]]) for query in queries]
    opened = {}
    for name, store in stores.items():
        database = await lancedb.connect_async(store.search_root)
        opened[name] = await database.open_table(table(store).name)
    print(f"{len(keys)} rows of {DIMENSION} dimensions, {QUERIES} queries, {repeats} repeats")
    p50: dict[str, list[float]] = {name: [] for name in stores}
    recall = {}
    for name in stores:
        await ask(opened[name], queries)
    for _ in range(repeats):
        for name in stores:
            times, found = await ask(opened[name], queries)
            p50[name].append(1000 * statistics.median(times))
            recall[name] = statistics.mean(
                len(wanted & set(got)) / 10 for wanted, got in zip(exact, found, strict=True)
            )
    for name, store in stores.items():
        state = search.state(store, table(store).name, dt.datetime.now(dt.UTC))
        over = [mine / base for mine, base in zip(p50[name], p50["fresh"], strict=True)]
        print(
            f"{name:<10} p50 {spread(p50[name])} ms   over fresh {spread(over)}   recall@10 "
            f"{recall[name]:.3f}   {state.bytes >> 20} MiB, {state.versions} versions, "
            f"{state.segments} segments, {state.unindexed} unindexed"
        )


async def ask(table: Any, queries: np.ndarray) -> tuple[list[float], list[list[str]]]:
    """Ask as the searcher does; returns seconds and keys."""
    times, found = [], []
    for query in queries:
        started = time.perf_counter()
        asked = table.vector_search(query).column("vector").distance_type("cosine")
        asked = asked.nprobes(20).refine_factor(2).limit(CANDIDATES)
        answer = await asked.select(["key", "item_id", "uri", "_distance"]).to_arrow()
        times.append(time.perf_counter() - started)
        found.append(answer["key"][:10].to_pylist())
    return times, found


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):5.2f} [{min(values):.2f} .. {max(values):.2f}]"


if __name__ == "__main__":
    main()

"""Tuning of vector indexes: a sweep over kinds, their parameters and how they are asked.

One half of the queries chooses; what is told of the choice is measured on the other half.
"""

import datetime as dt
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel

from pipelines.outcomes import now
from pipelines.progress import reporter
from pipelines.releases.candidate import at_version
from pipelines.releases.manifest import ChannelVersion
from pipelines.releases.tuned import Choice, read_choices, write_choices
from pipelines.search.measuring.bench import Bench, Point
from pipelines.search.measuring.choosing import choose
from pipelines.search.measuring.neighbours import perturbed
from pipelines.store import Store
from pipelines.tables.indexes import TRAINABLE, AskedIndex, VectorIndex
from pipelines.tables.vectors import unit

_PROBES = (5, 10, 20, 30, 64)
_REFINES = (1, 2, 4)
_LIST = 4096  # rows that LanceDB puts in a list of IVF_RQ
_FEW_QUERIES = 40
_NOISE = 0.5
_SEED = 13
_NOTE = "tuning_sweep"

Grid = Callable[[int, int], Sequence[VectorIndex]]


class Limits(NamedTuple):
    """What a sweep may take: channels of at least `least` rows, of which `sample` are measured.

    After so many `seconds` no further index of a channel is built. Half of the `queries` choose.
    """

    least: int
    sample: int = 100_000
    seconds: float = 900.0
    queries: int = 200


class Sweep(BaseModel):
    """What was measured of a channel's table, on `measured` of its `rows`.

    `chosen` is one of the `points`, which are by the queries that choose; `held_out` is the same
    by the other half. `queries` are `logged` ones, or `rows` of the table moved by noise. What was
    `skipped` was not built for lack of time.
    """

    channel: str
    table: str
    rows: int
    measured: int
    queries: int
    source: Literal["logged", "rows"]
    points: list[Point]
    chosen: Point
    held_out: Point
    skipped: list[VectorIndex]
    at: dt.datetime

    def choice(self) -> Choice:
        """Return what the next release builds."""
        return Choice(
            **self.chosen.model_dump(include=set(AskedIndex.model_fields)),
            table=self.table,
            recall=self.held_out.recall,
            p99_ms=self.held_out.p99_ms,
            rows=self.rows,
            at=self.at,
        )


def grid(rows: int, width: int) -> list[VectorIndex]:
    """Return the indexes to try for so many vectors, the most promising first.

    Lists are as LanceDB sizes them, and 4 sqrt(rows) of them (Faiss' guideline; 16 384 for 17
    million rows), as a power of two rows in each, so that a growing table keeps its index.
    """
    lists = {"target_partition_size": 2 ** max(round(math.log2(math.sqrt(rows) / 4)), 5)}
    return [
        VectorIndex(index="ivf_rq"),
        VectorIndex(index="ivf_rq", params=lists),
        VectorIndex(index="ivf_sq", params=lists),
        VectorIndex(index="hnsw_sq", params={"m": 16, "ef_construction": 100}),
        VectorIndex(index="ivf_pq", params={**lists, "num_sub_vectors": math.gcd(16, width)}),
        VectorIndex(index="hnsw_sq", params={"m": 32, "ef_construction": 200}),
    ]


def ways(index: VectorIndex, rows: int) -> list[AskedIndex]:
    """Return how an index of so many rows may be asked.

    HNSW is one graph here, and asked for so many candidates that `ef`, which LanceDB lets be no
    less, is none of its parameters.
    """
    if index.index == "exact":
        return [AskedIndex(index="exact")]
    size = index.params.get("target_partition_size", _LIST)
    lists = 1 if index.index == "hnsw_sq" else max(rows // size, 1)
    return [
        AskedIndex(index=index.index, params=index.params, nprobes=probes, refine=refine)
        for probes in sorted({min(each, lists) for each in _PROBES})
        for refine in _REFINES
    ]


def tune(
    store: Store,
    channels: Mapping[str, ChannelVersion],
    limits: Limits,
    logged: Mapping[str, np.ndarray] | None = None,
    indexes: Grid = grid,
) -> list[Sweep]:
    """Sweep over those channels of a release that have enough rows; record what was chosen.

    `logged` are vectors of real queries, (n, width), by channel; where there are few, rows of the
    table itself, moved by noise, stand for them. Scratch copies hold vectors and nothing that
    names an item; they are removed.
    """
    known, logged = read_choices(store), logged or {}
    sweeps = [
        _sweep(store, name, version, limits, logged.get(name), indexes, known.get(name))
        for name, version in channels.items()
        if version.rows >= max(limits.least, TRAINABLE)
    ]
    if sweeps:
        write_choices(store, {sweep.channel: sweep.choice() for sweep in sweeps})
        # One document, no table: it is replaced as a whole and nothing is joined to it. What
        # earlier sweeps measured stays with their runs.
        measured = {sweep.channel: sweep.model_dump(mode="json") for sweep in sweeps}
        store.notes.write(_NOTE, store.notes.read(_NOTE) | measured)
    return sweeps


def read_sweeps(store: Store) -> dict[str, Sweep]:
    """Return the newest sweep of each channel."""
    written = store.notes.read(_NOTE)
    return {name: Sweep.model_validate(sweep) for name, sweep in written.items()}


def _sweep(
    store: Store,
    name: str,
    version: ChannelVersion,
    limits: Limits,
    logged: np.ndarray | None,
    indexes: Grid,
    standing: Choice | None,
) -> Sweep:
    table = at_version(store, version.table, version.version)
    vectors = _vectors(table, version.rows, limits.sample)
    queries, source = _queries(vectors, logged, limits.queries)
    tried = [VectorIndex(index="exact"), *indexes(*vectors.shape)]
    if standing is not None and standing.table != version.table:
        standing = None
    with tempfile.TemporaryDirectory(prefix="mediadex-tuning-") as scratch:
        bench = Bench(Path(scratch), vectors, queries)
        points = _points(bench, tried, limits.seconds, reporter(f"tuning {name}"))
        chosen = choose(points, standing)
        (held_out,) = bench.measure([chosen], bench.held_out)
    return Sweep(
        channel=name,
        table=version.table,
        rows=version.rows,
        measured=len(vectors),
        queries=len(queries),
        source=source,
        points=points,
        chosen=chosen,
        held_out=held_out,
        skipped=[each for each in tried if not any(map(each.is_like, points))],
        at=now(),
    )


def _points(
    bench: Bench,
    tried: Sequence[VectorIndex],
    seconds: float,
    report: Callable[[int, int], None],
) -> list[Point]:
    started = time.monotonic()
    asked: list[AskedIndex] = []
    for place, index in enumerate(tried):
        # The exact scan and one index are measured however little time there is.
        if place > 1 and time.monotonic() - started > seconds:
            break
        bench.build(index)
        asked += ways(index, bench.rows)
    return bench.measure(asked, bench.choosing, report)


def _vectors(table: Any, rows: int, sample: int) -> np.ndarray:
    """Return vectors of a table, (rows, width), at unit length; a random `sample` of many."""
    if rows > sample:
        places = np.random.default_rng(_SEED).choice(rows, sample, replace=False)
        found = table.take_offsets(np.sort(places).tolist()).select(["vector"]).to_arrow()
    else:
        found = table.search().select(["vector"]).to_arrow()
    return unit(np.stack(found["vector"].to_numpy()))


def _queries(
    vectors: np.ndarray, logged: np.ndarray | None, count: int
) -> tuple[np.ndarray, Literal["logged", "rows"]]:
    random = np.random.default_rng(_SEED)
    if logged is not None and len(logged) >= _FEW_QUERIES:
        return logged[random.permutation(len(logged))[:count]].astype(np.float32), "logged"
    places = random.permutation(len(vectors))[:count]
    return perturbed(vectors[places], _NOISE, _SEED), "rows"

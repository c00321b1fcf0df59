"""Snapshots and restores against a plain copy of the same tree, seconds per GiB.

    python tests/benchmarks/bench_snapshot.py [--mib 512] [--rounds 5]

The home is made of random vectors, texts and pictures. Rounds are interleaved, so that a slow
moment of the machine meets all sides. All copies lie on the same disk, below TMPDIR.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from bench_index import interleaved, report
from deltalake import write_deltalake

from pipelines import snapshots
from pipelines.models.protocols import Identity
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables import migrations

DIMENSION = 384
MODEL = Identity("bench", "1", "0" * 64, "none", DIMENSION, "float32")


def main() -> None:
    """Make a home, then take, restore and copy it in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench(Path(scratch), options.mib, options.rounds)


def bench(scratch: Path, mib: int, rounds: int) -> None:
    """Print the medians and ranges of all sides."""
    settings = Settings(home=scratch / "home", snapshots=str(scratch / "kept"))
    store = Store(settings.root)
    fill(store, mib)
    taken = snapshots.take(store, settings)
    gib = taken.bytes / 2**30
    print(f"{gib:.2f} GiB in {len(taken.files)} files, {taken.rows} rows, {settings.workers} cores")

    def clean() -> None:
        for name in ("kept", "copy", "back"):
            shutil.rmtree(scratch / name, ignore_errors=True)

    def restore() -> None:
        into = settings.model_copy(update={"home": scratch / "back"})
        snapshots.restore("latest", into)

    clean()
    times = interleaved(
        rounds,
        {
            "copy": lambda: shutil.copytree(settings.home, scratch / "copy"),
            "first": lambda: snapshots.take(store, settings),
            "second": lambda: snapshots.take(store, settings),
            "restore": restore,
        },
        clean,
    )
    for name, label in (
        ("copy", "plain copy, s per GiB     "),
        ("first", "first take, s per GiB     "),
        ("second", "take of nothing new       "),
        ("restore", "restore, s per GiB        "),
    ):
        report(label, [seconds / gib for seconds in times[name]])
    for name in ("first", "restore"):
        ratios = [mine / plain for mine, plain in zip(times[name], times["copy"], strict=True)]
        report(f"{name:7} over plain copy   ", ratios)
    snapshots.take(store, settings)
    tried = snapshots.drill(store, settings)
    print(f"drill: {tried.gib_per_second:.2f} GiB/s restored, {tried.rows} rows compared")


def fill(store: Store, mib: int) -> None:
    """Write half of a home's bytes as vectors, and a quarter each as texts and as pictures."""
    chance = np.random.default_rng(0)
    rows = mib * 2**20 // 2 // (4 * DIMENSION)
    names = [f"item-{number:08d}" for number in range(rows)]
    columns = {"batch": ["b"] * rows, "item_id": names, "recipe": ["r"] * rows}
    search = store.channel("visual", MODEL)
    vectors = chance.normal(size=rows * DIMENSION).astype(np.float32)
    table = pa.table(
        {
            **{field.name: pa.nulls(rows, field.type) for field in search.schema},
            **columns,
            "key": names,
            "vector": pa.FixedSizeListArray.from_arrays(vectors, DIMENSION),
        }
    ).cast(search.schema)
    search.upsert(table.slice(0, 1).to_pylist())
    opened = search.open()
    assert opened is not None
    for start in range(1, rows, 20_000):
        opened.add(table.slice(start, 20_000))
    opened.tags.create("r000001", opened.version)
    for name in ("items", "texts"):
        schema = store.facts[name].schema
        words = [chance.bytes(mib * 2**18 // rows // 2).hex() for _ in names]
        text = {"text": words} if name == "texts" else {"deleted": [False] * rows}
        nulls = {field.name: pa.nulls(rows, field.type) for field in schema}
        kept = {key: value for key, value in (columns | text).items() if key in schema.names}
        write_deltalake(store.facts[name].uri, pa.table(nulls | kept).cast(schema))
    for _ in range(mib * 2**18 // 40_000):
        store.blobs.put(os.urandom(40_000), ".jpg")
    migrations.ensure_current(store)


if __name__ == "__main__":
    main()

"""A home of a million items: planning, doing nothing, and one change, in seconds and slopes.

    python tests/benchmarks/bench_scale.py [--items 100000 1000000] [--rounds 5] [--home FOLDER]

Items are synthetic and their rows are written straight into the tables, with the recipes that the
real steps ask for; vectors are 16 wide, since planning does not read them. What is measured is the
real planning, and real runs of single batches. With --home the last home stays, to be looked at.
"""

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import write_deltalake

from pipelines.attributes import attributes_of
from pipelines.channels import CHANNELS
from pipelines.models.protocols import Identity
from pipelines.pipeline import pending_batches
from pipelines.recipes import digest
from pipelines.settings import Settings
from pipelines.steps.caption import SOURCE, CaptionStep
from pipelines.steps.embed import EmbedStep, PassageStep
from pipelines.steps.redact import RedactStep
from pipelines.steps.runner import Step, plan, run
from pipelines.store import Store

BATCH_ITEMS = 1000
WIDTH = 16
CHUNK = 50_000


@dataclass
class Toy:
    """Stands for any model: an identity, and vectors or sentences made of nothing."""

    identity: Identity
    calls: int = 0

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors."""
        self.calls += len(texts)
        return np.full((len(texts), WIDTH), WIDTH**-0.5, np.float32)


def toy(name: str, dimension: int = WIDTH) -> Any:
    """Return a model of some name."""
    return Toy(Identity(name, "1", "", "", dimension, "float32"))


def steps_of(store: Store, settings: Settings, text: Any) -> list[Step]:
    """Return the real steps over toy models."""
    return [
        RedactStep(store, toy("reader"), toy("detector"), settings),
        CaptionStep(store, toy("captioner", 0), settings),
        *(
            EmbedStep(each, store, text if each.encoder == "text" else toy(each.encoder), settings)
            for each in CHANNELS.values()
        ),
        PassageStep(store),
    ]


def fill(store: Store, settings: Settings, steps: Sequence[Step], count: int) -> None:
    """Write items and then, step by step, the rows that the steps want."""
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        items = [item(number) for number in numbers]
        append(store.items.uri, pa.Table.from_pylist(items, store.items.schema))
        texts = [meta(row) for row in items]
        append(store.texts.uri, pa.Table.from_pylist(texts, store.texts.schema))
    redact, caption, *searched = steps
    for rows in chunks(redact.wanted(None)):
        keys = pc.binary_join_element_wise(rows["item_id"], "image", "#")
        derivative = pc.binary_join_element_wise(rows["item_id"], "jpg", ".")
        columns = {"key": keys, "derivative": derivative} | same(rows, "item_id", "batch", "recipe")
        append(
            store.segments.uri, table(columns, store.segments.schema, segment="image", kind="image")
        )
    for rows in chunks(caption.wanted(None)):
        hashes = {"text_hash": rows["item_id"]} | same(rows, "key", "item_id", "batch", "recipe")
        append(store.texts.uri, table(hashes, store.texts.schema, source=SOURCE, text="a thing"))
    vectors = np.full(WIDTH * CHUNK, WIDTH**-0.5, np.float32)
    for step in searched:
        search = step.table  # type: ignore[attr-defined]
        search.upsert([])
        database = search._database()
        opened = database.create_table(search.name, schema=search.schema, exist_ok=True)
        for rows in chunks(step.wanted(None)):
            columns = same(rows, "key", "item_id", "batch", "recipe", "attributes_hash")
            if "vector" in search.schema.names:
                flat = pa.array(vectors[: WIDTH * len(rows)])
                columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, WIDTH)
            opened.add(table(columns, search.schema, segment="image", text="Thing"))


def item(number: int) -> dict[str, Any]:
    """Return one row of the table of items."""
    name = digest(str(number))[:16]
    row = {
        "item_id": name,
        "batch": f"2026-01-01.{number // BATCH_ITEMS:03d}",
        "kind": "image",
        "media_type": "image/jpeg",
        "content_hash": digest(name),
        "size": 100_000,
        "width": 640,
        "height": 480,
        "origins": [
            {
                "uri": f"s3://media/{name}.jpg",
                "source": "s3://media",
                "file_name": f"{name}.jpg",
                "fingerprint": str(number),
                "metadata_hash": name,
            }
        ],
        "title": f"Thing {number}",
        "region": ("eu", "us")[number % 2],
        "tags": [],
        "deleted": False,
    }
    full = {**dict.fromkeys(ITEM_KEYS), **row}
    return full | {"attributes_hash": attributes_of(full).key}


ITEM_KEYS = tuple(Store("memory://none").items.schema.names)


def meta(row: dict[str, Any]) -> dict[str, Any]:
    """Return an item's metadata as a text."""
    return {
        "key": f"{row['item_id']}#meta",
        "item_id": row["item_id"],
        "batch": row["batch"],
        "segment": "meta",
        "source": "meta",
        "text": row["title"],
        "text_hash": digest(row["title"]),
        "recipe": "",
    }


def chunks(rows: pa.Table) -> list[pa.Table]:
    """Cut rows into writable pieces, in order of batches as they would have arrived."""
    rows = rows.sort_by("batch")
    return [rows.slice(start, CHUNK) for start in range(0, len(rows), CHUNK)]


def same(rows: pa.Table, *names: str) -> dict[str, Any]:
    """Return columns by name."""
    return {name: rows[name] for name in names}


def table(columns: dict[str, Any], schema: pa.Schema, **constant: str) -> pa.Table:
    """Return a table of a schema: given columns, constant ones, and the rest empty."""
    count = len(next(iter(columns.values())))
    arrays = []
    for field in schema:
        if field.name in columns:
            arrays.append(columns[field.name])
        elif field.name in constant:
            arrays.append(pa.array([constant[field.name]] * count, field.type))
        else:
            arrays.append(pa.nulls(count, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def append(uri: str, rows: pa.Table) -> None:
    """Append rows to a Delta table."""
    write_deltalake(uri, rows, mode="append")


def measure(count: int, rounds: int, home: Path) -> dict[str, float]:
    """Build a home of `count` items and print what planning it takes; returns medians in s."""
    settings = Settings(home=home, workers=1)
    store = Store(str(home))
    text = toy("text")
    steps = steps_of(store, settings, text)
    started = time.perf_counter()
    fill(store, settings, steps, count)
    print(
        f"\n{count:,} items, {count // BATCH_ITEMS:,} batches; written in "
        f"{time.perf_counter() - started:.0f} s, {size(home) / 2**30:.2f} GiB"
    )
    assert pending_batches(steps, store) == []
    noted = home / "notes" / "settled.json"

    def full() -> None:
        noted.unlink(missing_ok=True)
        assert pending_batches(steps, store) == []

    def again() -> None:
        assert pending_batches(steps, store) == []

    def one_batch() -> None:
        for step in steps:
            assert not plan(step, ["2026-01-01.000"]).batches

    medians = {
        "plan everything": timed(f"plan everything, {len(steps)} steps", rounds, full),
        "no-op": timed("no-op, nothing moved", rounds, again),
        "one batch": timed(f"plan one batch, {len(steps)} steps", rounds, one_batch),
        "one change": timed("one changed item", rounds, change(store, settings, steps, text)),
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  peak memory                    {peak:.2f} GiB")
    return medians


def change(
    store: Store, settings: Settings, steps: Sequence[Step], text: Any
) -> Callable[[], None]:
    """Return work that gives one item another title and brings everything up to date."""
    turn = iter(range(1000))

    def work() -> None:
        row = item(7)
        row["title"] = f"Renamed {next(turn)}"
        row["attributes_hash"] = attributes_of(row).key
        where = f"batch = '{row['batch']}' AND item_id = '{row['item_id']}'"
        store.items.replace(where, [row])
        store.texts.replace(f"{where} AND source = 'meta'", [meta(row)])
        before = text.calls
        # A scan tells which batches it changed; only these are looked at.
        for step in steps:
            run(step, row["batch"], settings)
        assert text.calls - before == 1

    return work


def timed(label: str, rounds: int, work: Callable[[], None]) -> float:
    """Print and return the median of some rounds, in seconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    middle = statistics.median(times)
    print(f"  {label:30} {middle:8.3f} s  [{min(times):.3f} .. {max(times):.3f}]")
    return middle


def size(folder: Path) -> int:
    """Return the bytes below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Measure homes of growing size and print how each number grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    found: dict[int, dict[str, float]] = {}
    for count in options.items:
        scratch = options.home or Path(tempfile.mkdtemp())
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            found[count] = measure(count, options.rounds, scratch)
        finally:
            if not options.home:
                shutil.rmtree(scratch)
    if len(found) > 1:
        small, large = min(found), max(found)
        print(f"\nseconds for every further million items, from {small:,} to {large:,}")
        for name in found[small]:
            slope = (found[large][name] - found[small][name]) / (large - small) * 1e6
            print(f"  {name:30} {slope:8.3f}")


if __name__ == "__main__":
    main()

"""What an increment costs beside the work itself: nothing changed, five of 500, writes, switches.

    python tests/benchmarks/bench_increment.py [--items 500] [--rounds 5]

Pictures are synthetic JPEGs; the catalog, planning, the visual encoder and all tables are the real
ones. OCR is left out: segments are written as redaction would leave them. Rounds are interleaved.
Prints medians and ranges, and what the orchestrator adds, apart.
"""

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.channels import CHANNELS
from pipelines.models.suite import ModelSuite
from pipelines.pipeline import build_step, pending_batches
from pipelines.releases.publish import is_current, promote, publish, rollback
from pipelines.settings import Settings
from pipelines.steps.embed import EmbedStep
from pipelines.steps.ingest import ingest
from pipelines.steps.inputs import open_picture
from pipelines.steps.runner import Step, run
from pipelines.store import Store
from pipelines.tables.facts import equals_any

CHANGED = 5
ROWS = 10_000


def main() -> None:
    """Run all parts and print what they measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = Settings(home=folder / "home", batch_items=1000)
        bench = Bench(settings, folder / "raw")
        bench.fill(options.items)
        print(f"{options.items} pictures, {os.cpu_count()} cores, {options.rounds} rounds")
        bench.nothing(options.rounds)
        bench.five(options.rounds)
        bench.switches(options.rounds)
        bench.orchestrated(options.rounds)
    with tempfile.TemporaryDirectory() as scratch:
        writes(Path(scratch), options.rounds)


class Bench:
    """A home of pictures whose visual channel is current."""

    def __init__(self, settings: Settings, raw: Path):
        self.settings = settings
        self.store = Store(settings.root)
        self.raw = raw
        self.models = ModelSuite()
        self.steps: list[Step] = [self._visual()]

    def _visual(self) -> EmbedStep:
        name = EmbedStep.name_of(CHANNELS["visual"])
        step = build_step(name, self.store, self.models, self.settings)
        assert isinstance(step, EmbedStep)
        return step

    def fill(self, count: int) -> None:
        """Draw pictures, register them, and embed them."""
        self.raw.mkdir(parents=True)
        for number in range(count):
            (self.raw / f"{number:04d}.jpg").write_bytes(picture(number))
        self.scan()
        items = self.store.items.rows(["item_id", "batch"])
        self.store.segments.append(
            [
                {
                    **row,
                    "key": f"{row['item_id']}#image",
                    "segment": "image",
                    "kind": "image",
                    "derivative": self.store.blobs.put(picture(number), ".jpg"),
                    "recipe": "bench",
                }
                for number, row in enumerate(items)
            ]
        )
        for batch in pending_batches(self.steps, self.store):
            run(self.steps[0], batch, self.settings)
        # One channel of four: the others would be missed.
        policy = 'gates = ["identities", "residual", "ann_recall"]'
        (self.settings.home / "policy.toml").write_text(policy)
        assert publish(self.store, self.encoders(), self.settings).event == "promoted"
        assert pending_batches(self.steps, self.store) == []

    def scan(self) -> None:
        """Look for changes among the files."""
        ingest(self.store, str(self.raw), self.models.detector(), self.settings)

    def encoders(self) -> dict[str, Any]:
        """Return the encoder that is benchmarked."""
        return {"visual": self.models.encoders()["visual"]}

    def nothing(self, rounds: int) -> None:
        """Scan, plan and ask for the release, with nothing changed."""

        def listing() -> None:
            with os.scandir(self.raw) as entries:
                assert all(entry.stat().st_size for entry in entries)

        def planned() -> None:
            assert pending_batches(self.steps, self.store) == []
            assert is_current(self.store, self.encoders())

        times = interleaved(
            rounds, {"listing": listing, "scan": self.scan, "plan and release": planned}
        )
        whole = [a + b for a, b in zip(times["scan"], times["plan and release"], strict=True)]
        report("no-op, ms", [1000 * each for each in whole])
        for name, values in times.items():
            report(f"  {name}, ms", [1000 * each for each in values])

    def five(self, rounds: int) -> None:
        """Change five derivatives and bring the channel up to date, beside encoding them."""
        encoder = self.models.encoder(CHANNELS["visual"])
        rows = self.store.segments.rows()[:CHANGED]
        batch = rows[0]["batch"]
        turn = iter(range(10_000, 99_999))

        def change() -> None:
            for row in rows:
                row["derivative"] = self.store.blobs.put(picture(next(turn)), ".jpg")
            where = f"batch = '{batch}' AND {equals_any('key', [row['key'] for row in rows])}"
            self.store.segments.replace(where, rows)

        def bare() -> None:
            images = [open_picture(self.store, row["derivative"]) for row in rows]
            encoder.encode_prepared([encoder.prepare(image) for image in images])  # type: ignore[union-attr]

        def increment() -> None:
            assert run(self.steps[0], batch, self.settings).encoded == CHANGED

        times = interleaved(rounds, {"bare": bare, "increment": increment}, before=change)
        report(f"bare encoding of {CHANGED}, ms", [1000 * each for each in times["bare"]])
        report(f"increment of {CHANGED}, ms", [1000 * each for each in times["increment"]])
        ratios = [b / a for a, b in zip(times["bare"], times["increment"], strict=True)]
        report("increment over bare", ratios)

    def switches(self, rounds: int) -> None:
        """Promote and roll back between two releases."""
        publish(self.store, self.encoders(), self.settings)
        times = interleaved(
            rounds,
            {
                "rollback": lambda: rollback(self.store, "r000001"),
                "promote": lambda: promote(self.store, "r000002", self.settings),
            },
        )
        report("rollback, ms", [1000 * each for each in times["rollback"]])
        report("promotion with its gates, ms", [1000 * each for each in times["promote"]])

    def orchestrated(self, rounds: int) -> None:
        """Let Dagster run one batch of a step in which there is nothing to do."""
        from sensors.launch import prepare_home

        prepare_home(self.settings)
        import dagster as dg

        from definitions import definitions

        job = definitions().resolve_implicit_global_asset_job_def()
        batch = self.store.items.rows(["batch"])[0]["batch"]
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with dg.DagsterInstance.get() as instance:
            instance.add_dynamic_partitions("batches", [batch])

            def dagster_run() -> None:
                result = job.execute_in_process(
                    run_config=quiet,
                    instance=instance,
                    asset_selection=[dg.AssetKey("visual_embeddings")],
                    partition_key=batch,
                )
                assert result.success

            def bare() -> None:
                assert run(self.steps[0], batch, self.settings).encoded == 0

            dagster_run()
            times = interleaved(rounds, {"bare": bare, "dagster": dagster_run})
        report("no-op of one step, ms", [1000 * each for each in times["bare"]])
        report("  as a Dagster run with its check, ms", [1000 * each for each in times["dagster"]])


def writes(folder: Path, rounds: int) -> None:
    """Upsert rows with 384 floats into the visual table, beside writing the same bytes raw."""
    identity = ModelSuite().encoders()["visual"].identity
    store = Store(str(folder))
    vectors = np.random.default_rng(0).normal(size=(ROWS, identity.dimension)).astype(np.float32)
    turn = iter(range(1000))

    def rows() -> list[dict[str, Any]]:
        part = next(turn)
        return [
            {
                "key": f"{part}-{number}#image",
                "item_id": f"{part}-{number}",
                "batch": "2026-01-01.000",
                "segment": "image",
                "recipe": "r" * 50,
                "attributes_hash": "a" * 32,
                "identity": identity.as_json(),
                "uri": f"file:///media/{number}.jpg",
                "vector": vector,
            }
            for number, vector in enumerate(vectors)
        ]

    prepared: list[list[dict[str, Any]]] = []

    def raw() -> None:
        with (folder / "raw").open("wb") as file:
            file.write(vectors.tobytes())
            for row in prepared[-1]:
                file.write(json.dumps({k: v for k, v in row.items() if k != "vector"}).encode())
            os.fsync(file.fileno())

    def upsert() -> None:
        store.channel("visual", identity).upsert(prepared[-1])

    times = interleaved(
        rounds, {"raw": raw, "upsert": upsert}, before=lambda: prepared.append(rows())
    )
    report("rows a second, raw and fsynced", [ROWS / each for each in times["raw"]])
    report("rows a second, upserted", [ROWS / each for each in times["upsert"]])
    report("raw over upsert", [a / b for a, b in zip(times["raw"], times["upsert"], strict=True)])


def picture(number: int) -> bytes:
    """Draw a JPEG of 640 x 480 pixels that no other number gives."""
    noise = np.random.default_rng(number)
    small = Image.fromarray(noise.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def interleaved(
    rounds: int, work: dict[str, Callable[[], Any]], before: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Time each piece of work once a round, in turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        before()
        for name, action in work.items():
            started = time.perf_counter()
            action()
            if turn:
                times[name].append(time.perf_counter() - started)
    return times


def report(label: str, values: Sequence[float]) -> None:
    """Print a median with its range."""
    middle = statistics.median(values)
    print(f"{label:38} {middle:10.2f}  [{min(values):.2f} .. {max(values):.2f}]")


if __name__ == "__main__":
    main()

"""Speed against the limit, in one run: images through the index, and searches, over the bare calls.

    python tests/benchmarks/bench_index.py [FOLDER] [--rounds 5]

FOLDER holds JPEGs (default: ../shared/media/photos, else samples/). Rounds are interleaved, so that
a slow moment of the machine meets both sides. Prints medians, ranges, recall and peak memory.
"""

import argparse
import asyncio
import datetime as dt
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.channels import CHANNELS
from pipelines.models import factory
from pipelines.models.protocols import ModelChoice
from pipelines.reading.media import as_jpeg, decode_pages
from pipelines.releases.publish import publish
from pipelines.search.asked.query import Query
from pipelines.search.retrieval import CANDIDATES
from pipelines.search.searcher import Searcher
from pipelines.settings import Settings
from pipelines.steps.embed import EmbedStep, PassageStep
from pipelines.steps.inputs import open_picture
from pipelines.steps.runner import run
from pipelines.store import Store

ROOT = Path(__file__).parents[2]
BATCH = "2026-01-01.000"


def main() -> None:
    """Run both benchmarks and print what they measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    shared = ROOT.parent / "shared" / "media" / "photos"
    parser.add_argument("folder", nargs="?", type=Path, default=shared if shared.exists() else None)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(home=Path(scratch))
        store = Store(scratch)
        count = register(store, options.folder or ROOT / "samples", settings)
        print(
            f"{count} images from {(options.folder or ROOT / 'samples').name}, "
            f"{settings.workers} cores, {options.rounds} interleaved rounds"
        )
        bench_images(store, settings, options.rounds)
        bench_search(store, settings, options.rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory       {peak:.2f} GiB")


def register(store: Store, folder: Path, settings: Settings) -> int:
    """Put images where redaction leaves them, without the reading, which is not measured here."""
    items: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for path in sorted(folder.rglob("*.jpg")):
        page = next(decode_pages(path.read_bytes(), "image", settings))
        picture, size = as_jpeg(page.image, settings.derivative_side, 90)
        row = {"item_id": path.stem, "batch": BATCH}
        origin = {"uri": path.as_uri(), "source": "", "file_name": path.name}
        about = {"origins": [origin], "tags": [], "attributes_hash": "a", "deleted": False}
        items.append({**row, "kind": "image", **about})
        segments.append(
            {
                **row,
                "key": f"{path.stem}#image",
                "segment": "image",
                "kind": "image",
                "derivative": store.blobs.put(picture, ".jpg"),
                "width": size[0],
                "height": size[1],
                "recipe": "bench",
            }
        )
        words = f"{path.parent.name} picture {path.stem}"
        for source in ("meta", "ocr", "caption"):
            text = {"source": source, "segment": source, "text": words, "text_hash": words}
            texts.append({**row, **text, "key": f"{path.stem}#{source}", "recipe": "bench"})
    store.items.append(items)
    store.segments.append(segments)
    store.texts.append(texts)
    return len(items)


def bench_images(store: Store, settings: Settings, rounds: int) -> None:
    """Compare the visual step, planning and commits included, with decoding and encoding alone."""
    encoder = factory.image_encoder("builtin")
    names = store.segments.read(["derivative"])["derivative"].to_pylist()
    size = settings.encode_rows

    def bare() -> np.ndarray:
        vectors = []
        for start in range(0, len(names), size):
            images = [open_picture(store, name) for name in names[start : start + size]]
            vectors.append(encoder.encode_prepared([encoder.prepare(image) for image in images]))
        return np.concatenate(vectors)

    step = EmbedStep(CHANNELS["visual"], store, encoder, settings)

    def indexed() -> None:
        report = run(step, BATCH, settings)
        assert report.encoded == len(names)

    def forget() -> None:
        keys = [row["key"] for row in step.table.rows(["key"])]
        step.table.remove(keys)

    bare()
    times = interleaved(rounds, {"bare": bare, "index": indexed}, after=forget)
    report("images/s, bare   ", [len(names) / t for t in times["bare"]])
    report("images/s, index  ", [len(names) / t for t in times["index"]])
    report("index over bare  ", [b / i for b, i in zip(times["bare"], times["index"], strict=True)])


def bench_search(store: Store, settings: Settings, rounds: int) -> None:
    """Compare a fused search with the same LanceDB queries alone; encoding is in neither."""
    text, image = factory.text_encoder("builtin"), factory.image_encoder("builtin")
    encoders: dict[str, ModelChoice] = {}
    for name, channel in CHANNELS.items():
        model = image if channel.encoder == "image" else text
        encoders[name] = ModelChoice("builtin", model.identity)
        run(EmbedStep(channel, store, model, settings), BATCH, settings)
    run(PassageStep(store), BATCH, settings)
    manifest = publish(store, encoders, settings).manifest
    searcher = Searcher(store, manifest, settings.model_copy(update={"read_images": False}))
    queries = [Query(words) for words in ("a red dress", "horses on a hill", "a laptop on a desk")]
    encoded = [(query, searcher.encoders.encode(query)) for query in queries] * 10
    recall = asyncio.run(_self_recall(searcher, store))

    async def fused() -> None:
        for query, vectors in encoded:
            await searcher.answer(query, given=vectors)

    async def bare() -> None:
        await searcher.tables.open()
        for query, vectors in encoded:
            calls = [
                searcher.tables.tables[name]
                .vector_search(probe.vector)
                .distance_type("cosine")
                .limit(CANDIDATES)
                .select(["item_id", "uri", "title", "_distance"])
                .to_arrow(timeout=dt.timedelta(seconds=10))
                for name, probe in vectors.probes.items()
            ]
            match = searcher.tables.tables["bm25"].query()
            match = match.nearest_to_text(query.text, columns=["text"])
            calls.append(match.limit(CANDIDATES).select(["item_id", "uri", "_score"]).to_arrow())
            await asyncio.gather(*calls)

    with asyncio.Runner() as runner:
        runner.run(fused())
        times = interleaved(
            rounds, {"bare": lambda: runner.run(bare()), "fused": lambda: runner.run(fused())}
        )
    report("search ms, bare  ", [1000 * t / len(encoded) for t in times["bare"]])
    report("search ms, fused ", [1000 * t / len(encoded) for t in times["fused"]])
    report("fused over bare  ", [f / b for b, f in zip(times["bare"], times["fused"], strict=True)])
    print(f"self-recall@1     {recall:.3f} (each picture as its own query, visual channel)")


async def _self_recall(searcher: Searcher, store: Store) -> float:
    rows = store.segments.rows(["item_id", "derivative"])[:50]
    hits = 0
    for row in rows:
        query = Query(image=Image.Image.convert(open_picture(store, row["derivative"]), "RGB"), k=1)
        hits += (await searcher.rankings(query))["visual"][:1] == [row["item_id"]]
    return hits / len(rows)


def interleaved(
    rounds: int,
    work: dict[str, Callable[[], Any]],
    after: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Time each piece of work once a round, in turns; returns seconds by name."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, action in work.items():
            started = time.perf_counter()
            action()
            times[name].append(time.perf_counter() - started)
        after()
    return times


def report(label: str, values: Sequence[float]) -> None:
    """Print a median with its range."""
    print(f"{label} {statistics.median(values):8.2f}  [{min(values):.2f} .. {max(values):.2f}]")


if __name__ == "__main__":
    main()

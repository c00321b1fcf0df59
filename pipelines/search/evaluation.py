"""How good a release's answers are on labelled queries, fused and channel by channel."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import BadInput
from pipelines.releases.manifest import Manifest
from pipelines.search.fusion import BM25
from pipelines.search.hidden import Hidden
from pipelines.search.metrics import mean_metrics, ranking_metrics
from pipelines.search.searcher import Query, Searcher
from pipelines.search.service import SearchService, View, read_image
from pipelines.settings import Settings
from pipelines.store import Store

_DEPTH = 100


@dataclass(frozen=True)
class Labelled:
    """A query with graded relevant items, by item id or file name."""

    text: str | None
    image: Path | None
    relevant: Mapping[str, float]
    segment: str | None


def read_queries(path: Path) -> list[Labelled]:
    """Read JSON lines; image paths are relative to the file. Raises BadInput for a broken line."""
    labelled = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            image = path.parent / row["image"] if row.get("image") else None
            labelled.append(Labelled(row.get("query"), image, row["relevant"], row.get("segment")))
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path}, line {number}: {type(error).__name__} {error}") from error
    if not labelled:
        raise BadInput(f"{path} holds no queries")
    return labelled


async def evaluate(store: Store, queries: Sequence[Labelled], settings: Settings) -> dict[str, Any]:
    """Return mean metrics of the serving release: of the fused ranking and of each channel alone.

    Raises BadInput for a query whose relevant items are none of the index.
    """
    return await _measure(await SearchService(store, settings).view(), store, queries, settings)


async def evaluate_release(
    store: Store, manifest: Manifest, queries: Sequence[Labelled], settings: Settings
) -> dict[str, Any]:
    """Return what `evaluate` does, of any release."""
    view = View(Searcher(store, manifest), Hidden(store, settings).look())
    return await _measure(view, store, queries, settings)


async def _measure(
    view: View, store: Store, queries: Sequence[Labelled], settings: Settings
) -> dict[str, Any]:
    names = _item_names(store)
    rankings: dict[str, list[dict[str, float]]] = {"fused": []}
    for labelled in queries:
        relevant = _resolve(labelled, names)
        image = read_image(labelled.image.read_bytes(), settings) if labelled.image else None
        query = Query(labelled.text, image, _DEPTH)
        for name, ranked in (await view.searcher.rankings(query, view.hidden)).items():
            rankings.setdefault(name, []).append(ranking_metrics(ranked, relevant))
    return {
        "release": view.searcher.manifest.release,
        "queries": len(queries),
        "fused": mean_metrics(rankings.pop("fused")),
        "channels": {
            name: mean_metrics(rows)
            for name, rows in sorted(rankings.items(), key=lambda e: e[0] == BM25)
        },
    }


def _item_names(store: Store) -> dict[str, str]:
    """Map item ids and file names, with every shorter ending of their paths, to item ids."""
    names: dict[str, str] = {}
    for row in store.items.rows(["item_id", "origins"], "deleted = false"):
        names[row["item_id"]] = row["item_id"]
        for origin in row["origins"]:
            parts = origin["uri"].split("/")
            for start in range(len(parts)):
                names.setdefault("/".join(parts[start:]), row["item_id"])
    return names


def _resolve(labelled: Labelled, names: Mapping[str, str]) -> dict[str, float]:
    """Map relevant names to item ids; one that is not indexed stays, as a miss."""
    found = {names.get(name, name): grade for name, grade in labelled.relevant.items()}
    if not found.keys() & set(names.values()):
        wanted = ", ".join(list(labelled.relevant)[:3])
        raise BadInput(f"none of the relevant items of a query is indexed: {wanted}")
    return found

"""How good a release's answers are on labelled queries, fused and channel by channel."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import BadInput
from pipelines.releases.manifest import Manifest
from pipelines.search.expansion import expand
from pipelines.search.hidden import Hidden
from pipelines.search.media import Kind, Upload, with_upload
from pipelines.search.metrics import mean_metrics, ranking_metrics
from pipelines.search.profiles import BM25
from pipelines.search.query import Query
from pipelines.search.searcher import Searcher
from pipelines.search.service import SearchService, View
from pipelines.settings import Settings
from pipelines.store import Store

_DEPTH = 100
_KINDS: tuple[Kind, ...] = ("image", "audio", "video")


@dataclass(frozen=True)
class Labelled:
    """A query with graded relevant items, by item id or file name; `files` are asked with too."""

    text: str | None
    files: Mapping[Kind, Path]
    relevant: Mapping[str, float]
    segment: str | None


def read_queries(path: Path) -> list[Labelled]:
    """Read JSON lines; paths of `image`, `audio` and `video` are relative to the file.

    Raises BadInput for a broken line.
    """
    labelled = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            files = {kind: path.parent / row[kind] for kind in _KINDS if row.get(kind)}
            labelled.append(Labelled(row.get("query"), files, row["relevant"], row.get("segment")))
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
        query = _read(labelled, settings)
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


def _read(labelled: Labelled, settings: Settings) -> Query:
    query = Query(labelled.text, k=_DEPTH)
    for kind, path in labelled.files.items():
        with path.open("rb") as file:
            query = with_upload(query, Upload(file, path.name, kind), settings)
    return expand(query, settings)


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

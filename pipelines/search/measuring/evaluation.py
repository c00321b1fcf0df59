"""How good a release's answers are on labelled queries, fused and channel by channel."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.releases.manifest import Manifest
from pipelines.search.asked.media import Kind, Upload
from pipelines.search.asked.query import Query
from pipelines.search.engines.protocol import Allowed
from pipelines.search.fusion.calibration import matched
from pipelines.search.fusion.profiles import BM25, weights
from pipelines.search.hidden import Hidden
from pipelines.search.measuring.metrics import mean_metrics, ranking_metrics
from pipelines.search.retrieval import Retrieval
from pipelines.search.searcher import Searcher
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store

DEPTH = 100
_ASKING_CHANNELS = {"encode", "search", "union"}
_KINDS: tuple[Kind, ...] = ("image", "audio", "video")


@dataclass(frozen=True)
class Labelled:
    """A query with graded relevant items, by item id or file name; `files` are asked with too."""

    text: str | None
    files: Mapping[Kind, Path]
    relevant: Mapping[str, float]
    segment: str | None

    @property
    def modality(self) -> str:
        """What it is asked with: text, image, audio, video, or several with a plus between."""
        return "+".join((*(["text"] if self.text else []), *self.files))

    @property
    def name(self) -> str:
        """Its text and the names of its files."""
        return " ".join((self.text or "", *(path.name for path in self.files.values()))).strip()


@dataclass(frozen=True)
class Judged:
    """A query that was asked, with the grades of the items it should find, and their kind.

    `fused` are item ids, best first. `found` holds similarities by channel and item, `raw` the same
    with BM25's as `calibration.matched`, `mediums` what each channel was asked with, and `ms` how
    long it took. `evidence` are values on the profile's scale by item and channel, `weights` those
    that they were fused by, of which `trust` is what the query made of the profile's.
    """

    labelled: Labelled
    relevant: Mapping[str, float]
    kind: str
    profile: str
    fused: Sequence[str]
    found: Mapping[str, Mapping[str, float]]
    raw: Mapping[str, Mapping[str, float]]
    mediums: Mapping[str, str]
    ms: Mapping[str, float]
    evidence: Mapping[str, Mapping[str, float]]
    weights: Mapping[str, float]
    trust: Mapping[str, float]

    @property
    def name(self) -> str:
        """What it asks."""
        return self.labelled.name

    def rankings(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each channel that was asked, with item ids by its similarity alone, best first."""
        for name, values in self.found.items():
            yield name, sorted(values, key=lambda item: (-values[item], item))[:DEPTH]


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


async def judge(searcher: Searcher, allowed: Allowed, queries: Sequence[Labelled]) -> list[Judged]:
    """Ask a release each query once.

    Raises BadInput for a query whose relevant items are none of the index.
    """
    items = searcher.store.items.rows(["item_id", "kind", "origins"], "deleted = false")
    names, kinds = _item_names(items), {row["item_id"]: row["kind"] for row in items}
    judged = []
    for labelled in queries:
        relevant = _resolve(labelled, names)
        best = max(kinds.keys() & relevant.keys(), key=lambda item: (relevant[item], item))
        with ExitStack() as opened:
            uploads = [
                Upload(opened.enter_context(path.open("rb")), path.name, kind)
                for kind, path in labelled.files.items()
            ]
            asked = await searcher.answer(Query(labelled.text, k=DEPTH), allowed, uploads=uploads)
        judged.append(_judged(labelled, relevant, kinds[best], asked))
    return judged


def _judged(
    labelled: Labelled, relevant: Mapping[str, float], kind: str, asked: Retrieval
) -> Judged:
    ms: dict[str, float] = defaultdict(float)
    for step in asked.trace:
        if step.step in _ASKING_CHANNELS:
            for name, spent in step.parts.items():
                ms[name] += spent
    found = {
        name: {item: hit.value for item, hit in hits.items()} for name, hits in asked.hits.items()
    }
    manifest, words = asked.searcher.manifest, len((asked.query.literal or "").split())
    passages = manifest.passages.rows if manifest.passages else 0
    matches = {item: matched(value, words, passages) for item, value in found.get(BM25, {}).items()}
    usual = weights(asked.profile, manifest.learned.weights if manifest.learned else None)
    return Judged(
        labelled=labelled,
        relevant=relevant,
        kind=kind,
        profile=asked.profile,
        fused=[entry.item_id for entry in asked.ranked][:DEPTH],
        found=found,
        raw=found | ({BM25: matches} if BM25 in found else {}),
        mediums={name: probe.medium for name, probe in asked.encoded.probes.items()},
        ms=ms,
        evidence=asked.evidence,
        weights=asked.weights,
        trust={name: asked.weights[name] / share for name, share in usual.items() if share},
    )


async def judge_serving(
    store: Store, queries: Sequence[Labelled], settings: Settings, learned: bool = True
) -> tuple[Manifest, list[Judged]]:
    """Ask the serving release; return it with what it answered.

    Without `learned`, it answers by the default scales and weights, whatever it has learned.
    """
    view = await SearchService(store, settings).view()
    searcher, manifest = view.searcher, view.searcher.manifest
    if manifest.learned and not learned:
        manifest = manifest.model_copy(update={"learned": None})
        searcher = Searcher(store, manifest, settings)
    return manifest, await judge(searcher, view.allowed, queries)


async def evaluate(store: Store, queries: Sequence[Labelled], settings: Settings) -> dict[str, Any]:
    """Return mean metrics of the serving release: of the fused ranking and of each channel alone.

    Raises BadInput for a query whose relevant items are none of the index.
    """
    return report(*await judge_serving(store, queries, settings))


async def evaluate_release(
    store: Store, manifest: Manifest, queries: Sequence[Labelled], settings: Settings
) -> dict[str, Any]:
    """Return what `evaluate` does, of any release."""
    searcher = Searcher(store, manifest, settings)
    allowed = Allowed(hidden=Hidden(store, settings).look())
    return report(manifest, await judge(searcher, allowed, queries))


def report(release: Manifest, judged: Sequence[Judged]) -> dict[str, Any]:
    """Return mean metrics; those of a channel are over the queries that it was asked."""
    alone = defaultdict(list)
    for each in judged:
        for name, ranked in each.rankings():
            alone[name].append(ranking_metrics(ranked, each.relevant))
    return {
        "release": release.release,
        "queries": len(judged),
        "fused": fused_metrics(judged),
        "channels": {
            name: mean_metrics(alone[name]) for name in (*CHANNELS, BM25) if name in alone
        },
    }


def fused_metrics(judged: Sequence[Judged]) -> dict[str, float]:
    """Return mean metrics of the fused rankings."""
    return mean_metrics([ranking_metrics(each.fused, each.relevant) for each in judged])


def by_modality(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return mean metrics by what is asked with and by the kind of what is to be found."""
    groups = defaultdict(list)
    for each in judged:
        groups[each.labelled.modality, each.kind].append(each)
    return [
        {"asked": asked, "found": found, "queries": len(group), **fused_metrics(group)}
        for (asked, found), group in sorted(groups.items())
    ]


def _item_names(items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Map item ids and file names, with every shorter ending of their paths, to item ids."""
    names: dict[str, str] = {}
    for row in items:
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

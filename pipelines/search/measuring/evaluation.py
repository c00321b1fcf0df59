"""How good a release's answers are on labelled queries, fused and channel by channel."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
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
from pipelines.search.fusion.scores import ids_of
from pipelines.search.hidden import Hidden
from pipelines.search.measuring.metrics import mean_metrics, ranking_metrics
from pipelines.search.retrieval import Retrieval
from pipelines.search.searcher import Searcher
from pipelines.search.service import SearchService
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import equals_any

DEPTH = 100
MEDIA = ("text", "image", "audio", "video")
"""What can be asked with, and found: texts and documents count as one."""
_ASKING_CHANNELS = {"encode", "search", "union", "widen", "further"}
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

    `fused` are item ids, best first; `within` has the metrics of each medium that has relevant
    items, asked for alone, where that was measured. `found` holds similarities by channel and item,
    `raw` the same with BM25's as `calibration.matched`, `mediums` what each channel was asked with,
    and `ms` how long it took. `evidence` are values on the profile's scale by item and channel,
    `weights` those that they were fused by, of which `trust` is what the query made of the
    profile's.
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
    within: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

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


async def ask(
    searcher: Searcher, allowed: Allowed, labelled: Labelled, query: Query, **known: Any
) -> Retrieval:
    """Ask a release a labelled query's text and files, and else as `query` says.

    Raises BadInput where it cannot be asked so.
    """
    with ExitStack() as opened:
        uploads = [
            Upload(opened.enter_context(path.open("rb")), path.name, kind)
            for kind, path in labelled.files.items()
        ]
        asked = replace(query, text=labelled.text)
        return await searcher.answer(asked, allowed, uploads=uploads, **known)


async def judge(
    searcher: Searcher, allowed: Allowed, queries: Sequence[Labelled], *, within: bool = False
) -> list[Judged]:
    """Ask a release each query once, and `within` each medium that has relevant items once more.

    Raises BadInput for a query whose relevant items are none of the index.
    """
    items = searcher.store.items.rows(["item_id", "kind", "origins"], "deleted = false")
    names, kinds = _item_names(items), {row["item_id"]: row["kind"] for row in items}
    judged = []
    for labelled in queries:
        relevant = _resolve(labelled, names)
        wanted = {item: kinds[item] for item, grade in relevant.items() if grade and item in kinds}
        best = max(wanted, key=lambda item: (relevant[item], item))
        asked = await ask(searcher, allowed, labelled, Query(k=DEPTH))
        each = as_judged(labelled, relevant, kinds[best], asked)
        if within:
            graded: dict[str, dict[str, float]] = defaultdict(dict)
            for item in sorted(wanted):
                graded[medium_of(wanted[item])][item] = relevant[item]
            each = replace(each, within=await _within(asked, graded))
        judged.append(each)
    return judged


def medium_of(kind: str) -> str:
    """Return which of `MEDIA` an item's kind is."""
    return "text" if kind == "document" else kind


async def _within(
    asked: Retrieval, graded: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Ask with the same vectors and words for items of one medium at a time."""
    metrics = {}
    for medium, relevant in graded.items():
        kinds = ("text", "document") if medium == "text" else (medium,)
        query = replace(asked.query, where=equals_any("kind", kinds))
        answer = await asked.searcher.answer(query, asked.allowed, given=asked.encoded)
        metrics[medium] = ranking_metrics(ids_of(answer.ranked)[:DEPTH], relevant)
    return metrics


def as_judged(
    labelled: Labelled, relevant: Mapping[str, float], kind: str, asked: Retrieval
) -> Judged:
    """Return what is measured of a query that was asked, with the grades and kind of its items."""
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


async def serving(store: Store, settings: Settings) -> tuple[Searcher, Allowed]:
    """Open the serving release to be measured: without caches.

    Raises NotReleased before the first release.
    """
    view = await SearchService(store, settings).view()
    return Searcher(store, view.searcher.manifest, settings), view.allowed


async def judge_serving(
    store: Store, queries: Sequence[Labelled], settings: Settings, learned: bool = True
) -> tuple[Manifest, list[Judged]]:
    """Ask the serving release; return it with what it answered.

    Without `learned`, it answers by the default scales and weights, whatever it has learned.
    """
    searcher, allowed = await serving(store, settings)
    if searcher.manifest.learned and not learned:
        manifest = searcher.manifest.model_copy(update={"learned": None})
        searcher = Searcher(store, manifest, settings)
    return searcher.manifest, await judge(searcher, allowed, queries)


async def judge_release(
    store: Store, manifest: Manifest, queries: Sequence[Labelled], settings: Settings
) -> list[Judged]:
    """Ask any release."""
    searcher = Searcher(store, manifest, settings)
    return await judge(searcher, Allowed(hidden=Hidden(store, settings).look()), queries)


def report(release: Manifest, judged: Sequence[Judged]) -> dict[str, Any]:
    """Return mean metrics; those of a channel are over the queries that it was asked.

    `recall@100` stands apart, since `fused` and `channels` are what is promised to scripts.
    """
    alone = defaultdict(list)
    for each in judged:
        for name, ranked in each.rankings():
            alone[name].append(ranking_metrics(ranked, each.relevant))
    means = {name: mean_metrics(alone[name]) for name in (*CHANNELS, BM25) if name in alone}
    means = {"fused": fused_metrics(judged), **means}
    deep = {name: mean.pop("recall@100") for name, mean in means.items()}
    return {
        "release": release.release,
        "queries": len(judged),
        "fused": means.pop("fused"),
        "channels": means,
        "recall@100": deep,
    }


def fused_metrics(judged: Sequence[Judged]) -> dict[str, float]:
    """Return mean metrics of the fused rankings."""
    return mean_metrics([ranking_metrics(each.fused, each.relevant) for each in judged])


def _item_names(items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Map item ids and file names, with every shorter ending of their paths, to item ids."""
    names: dict[str, str] = {}
    for row in items:
        names[row["item_id"]] = row["item_id"]
        for origin in row["origins"] or ():
            parts = origin["uri"].split("/")
            for start in range(len(parts)):
                names.setdefault("/".join(parts[start:]), row["item_id"])
    return names


def _resolve(labelled: Labelled, names: Mapping[str, str]) -> dict[str, float]:
    """Map relevant names to item ids; one that is not indexed stays, as a miss."""
    found = {names.get(name, name): grade for name, grade in labelled.relevant.items()}
    indexed = set(names.values())
    if not any(grade and name in indexed for name, grade in found.items()):
        wanted = ", ".join(list(labelled.relevant)[:3])
        raise BadInput(f"none of the relevant items of a query is indexed: {wanted}")
    return found

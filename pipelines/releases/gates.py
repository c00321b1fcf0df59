"""The gates: small questions to exactly one candidate, asked by name as the policy says."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import outcomes
from pipelines.catalog.metadata import SEGMENT
from pipelines.channels import CHANNELS
from pipelines.errors import BadInput
from pipelines.models.protocols import Identity
from pipelines.quality.coverage import coverage
from pipelines.releases.candidate import at_version
from pipelines.releases.manifest import ChannelVersion, GateResult, Manifest, Verdict
from pipelines.releases.policy import Evaluation, Policy, read_policy
from pipelines.search.measuring.neighbours import NEIGHBOURS, bounds, perturbed, recall
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import quoted
from pipelines.tables.vectors import matrix

if TYPE_CHECKING:
    from pipelines.search.measuring.evaluation import Judged

_PERTURBATION = 0.1  # length of the noise added to a vector of unit length
_SEED = 7


class Case(NamedTuple):
    """What is asked about; `metrics` is filled by the gate that measures them."""

    candidate: Manifest
    serving: Manifest | None
    store: Store
    policy: Policy
    settings: Settings
    metrics: dict[str, dict[str, float]]


def ask(candidate: Manifest, serving: Manifest | None, store: Store, settings: Settings) -> Verdict:
    """Ask every gate of the home's policy; those that it leaves out are shown as not asked."""
    policy = read_policy(settings)
    if unknown := set(policy.gates) - GATES.keys():
        raise BadInput(
            f"the policy asks for unknown gates: {', '.join(sorted(unknown))}; "
            f"there are {', '.join(GATES)}"
        )
    case = Case(candidate, serving, store, policy, settings, {})
    asked = [GATES[name](case) for name in policy.gates]
    left_out = [
        GateResult(name=name, passed=None, detail="not asked: the policy leaves it out")
        for name in GATES
        if name not in policy.gates
    ]
    return Verdict(gates=[*asked, *left_out], metrics=case.metrics)


def identities(case: Case) -> GateResult:
    """All rows of a channel carry the identity that the manifest names, and so does its table."""
    wrong = {}
    for name, version in case.candidate.channels.items():
        identity = Identity(**version.identity)
        table = at_version(case.store, version.table, version.version)
        batches = table.search().select(["identity"]).to_batches()
        foreign = sum(_differing(batch["identity"], identity.as_json()) for batch in batches)
        if version.table != case.store.channel(name, identity).name:
            wrong[name] = f"{version.table} is a table of another model"
        elif foreign:
            wrong[name] = f"{foreign} of {version.rows} rows are of another model"
    detail = "; ".join(f"{name}: {what}" for name, what in wrong.items())
    return GateResult(
        name="identities",
        passed=not wrong,
        value=len(wrong),
        limit=0,
        detail=detail or "every vector is of the model that the release names",
    )


def _differing(values: pa.Array, wanted: str) -> int:
    return len(values) - (pc.sum(pc.equal(values, wanted)).as_py() or 0)


def residual(case: Case) -> GateResult:
    """Nothing is there of an item in which private data was still found after redaction."""
    refused = pa.array(sorted(outcomes.residual(case.store.outcomes)), pa.string())
    read = f"segment <> {quoted(SEGMENT)}"
    found = {"texts": case.store.texts.read(["item_id"], read)["item_id"]}
    for table, version in case.candidate.tables().items():
        opened = at_version(case.store, table, version)
        found[table] = opened.search().select(["item_id"]).to_arrow()["item_id"]
    left = {name: ids.filter(pc.is_in(ids, value_set=refused)) for name, ids in found.items()}
    rows = {name: len(ids) for name, ids in left.items() if len(ids)}
    items = len({item for ids in left.values() for item in ids.unique().to_pylist()})
    listed = ", ".join(f"{count} rows in {name}" for name, count in rows.items())
    return GateResult(
        name="residual",
        passed=not rows,
        value=items,
        limit=0,
        detail=f"{items} refused items are still there: {listed}"
        if rows
        else f"nothing is there of {len(refused)} refused items",
    )


def covered(case: Case) -> GateResult:
    """Of the items that should be found in a channel, enough are, in every channel."""
    minimum, few = case.policy.coverage.minimum, case.policy.coverage.few
    measured = coverage(case.store, case.candidate, case.candidate.created_at).to_pylist()
    shares = {row["name"]: row for row in measured if row["name"] in CHANNELS}
    short = [
        f"{name} {100 * row['share']:.1f} % of {row['items']} items"
        for name, row in shares.items()
        if row["share"] < minimum
        and not (row["share"] and row["items"] * (1 - row["share"]) <= few + 1e-6)
    ]
    return GateResult(
        name="coverage",
        passed=not short,
        value=min((row["share"] for row in shares.values()), default=1.0),
        limit=minimum,
        detail=f"below {100 * minimum:g} %: {', '.join(short)}"
        if short
        else f"every channel has at least {100 * minimum:g} % of its items",
    )


def ann_recall(case: Case) -> GateResult:
    """The vector indexes, asked as search asks them, find what an exact scan finds.

    Of all rows, and of the tenth that a filter leaves.
    """
    policy = case.policy.ann_recall
    indexed = {name: each for name, each in case.candidate.channels.items() if each.indexed}
    recalls = {
        name: _recalls(at_version(case.store, each.table, each.version), each, policy.sample)
        for name, each in indexed.items()
    }
    exact = [name for name in case.candidate.channels if name not in indexed]
    said = [
        f"{name} {min(all_rows, tenth):.3f} ({all_rows:.3f} of all rows, {tenth:.3f} of a tenth)"
        for name, (all_rows, tenth) in recalls.items()
    ]
    said += [f"{name} is scanned exactly" for name in exact]
    worst = min((min(each) for each in recalls.values()), default=None)
    return GateResult(
        name="ann_recall",
        passed=worst is None or worst >= policy.minimum,
        value=worst,
        limit=policy.minimum,
        detail=", ".join(said) or "there are no vectors",
    )


def _recalls(table: Any, version: ChannelVersion, sample: int) -> tuple[float, float]:
    """Return the mean recall@10 of some queries, without and with a filter.

    Queries are vectors of the table itself, moved by a little noise.
    """
    random = np.random.default_rng(_SEED)
    places = random.choice(version.rows, min(sample, version.rows), replace=False)
    taken = table.take_offsets(sorted(places.tolist())).select(["vector"]).to_arrow()["vector"]
    queries = perturbed(np.stack(taken.to_numpy()), _PERTURBATION, _SEED)
    keys = np.sort(table.search().select(["key"]).to_arrow()["key"].to_numpy())
    tenth = f"key <= {quoted(keys[max(len(keys) // 10, NEIGHBOURS) - 1])}"
    return _recall(table, version, queries, None), _recall(table, version, queries, tenth)


def _recall(table: Any, version: ChannelVersion, queries: np.ndarray, where: str | None) -> float:
    from pipelines.search.retrieval import CANDIDATES

    def filtered(query: Any) -> Any:
        return query.where(where) if where else query

    batches = filtered(table.search()).select(["vector"]).to_batches()
    vectors = (matrix(batch["vector"]) for batch in batches)
    shares = []
    for query, bound in zip(queries, bounds(vectors, queries), strict=True):
        asked = filtered(table.search(query, "vector").distance_type("cosine").limit(CANDIDATES))
        asked = asked.nprobes(version.nprobes).refine_factor(version.refine)
        found = asked.select(["_distance"]).to_arrow()["_distance"].to_numpy()
        shares.append(recall(found, bound))
    return float(np.mean(shares))


def evaluated(case: Case) -> GateResult:
    """Labelled queries are answered about as well as before, and well enough in each modality."""
    policy = case.policy.evaluation
    if not policy.queries:
        return GateResult(
            name="evaluation", passed=None, detail="not asked: the policy names no labelled queries"
        )
    from pipelines.search.measuring.evaluation import judge_release, read_queries, report

    queries = read_queries(case.settings.home / policy.queries)

    def judged(manifest: Manifest) -> list["Judged"]:
        return asyncio.run(judge_release(case.store, manifest, queries, case.settings))

    answered = judged(case.candidate)
    told = report(case.candidate, answered)
    case.metrics.update({"fused": told["fused"], **told["channels"]})
    if policy.metric not in told["fused"]:
        known = ", ".join(told["fused"])
        raise BadInput(f"the policy compares by {policy.metric}; there are {known}")
    weak = _weak(policy, answered)
    if weak is not None:
        return weak
    value = told["fused"][policy.metric]
    if case.serving is None:
        detail = f"{policy.metric} {value:.3f}; nothing serves yet to compare it with"
        return GateResult(name="evaluation", passed=True, value=value, detail=detail)
    serving = report(case.serving, judged(case.serving))["fused"][policy.metric]
    limit = serving - policy.tolerance
    return GateResult(
        name="evaluation",
        passed=value >= limit,
        value=value,
        limit=limit,
        detail=f"{policy.metric} {value:.3f} on {len(queries)} queries; "
        f"{case.serving.release} has {serving:.3f}, of which {policy.tolerance:g} may be lost",
    )


def _weak(policy: Evaluation, judged: Sequence["Judged"]) -> GateResult | None:
    """Refuse for modalities below their floors, with the number of the one that lacks most."""
    from pipelines.search.measuring.media import by_found

    found = by_found(judged)
    lacking = {}
    for modality, floor in policy.floors.items():
        metrics = found.get(modality)
        if metrics is None:
            lacking[modality] = floor, f"{modality} has no labelled query, and a floor of {floor:g}"
        elif (value := metrics[policy.metric]) < floor:
            told = f"{modality} {value:.3f} on {metrics['queries']} queries, below {floor:g}"
            lacking[modality] = floor - value, told
    if not lacking:
        return None
    worst = max(lacking, key=lambda modality: lacking[modality][0])
    return GateResult(
        name="evaluation",
        passed=False,
        value=found[worst][policy.metric] if worst in found else None,
        limit=policy.floors[worst],
        detail=f"{policy.metric} of {'; '.join(told for _, told in lacking.values())}",
    )


GATES: dict[str, Callable[[Case], GateResult]] = {
    "identities": identities,
    "residual": residual,
    "coverage": covered,
    "ann_recall": ann_recall,
    "evaluation": evaluated,
}

"""Tuning: what is chosen and by which queries, and that the next release is built and asked so."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from toy import CHOICES, DIMENSION, fill, vector

from pipelines.outcomes import now
from pipelines.releases.candidate import at_version, is_as_tuned
from pipelines.releases.log import require
from pipelines.releases.manifest import Manifest
from pipelines.releases.publish import publish
from pipelines.releases.tuned import Choice, read_choices, write_choices
from pipelines.search.measuring import tuning
from pipelines.search.measuring.bench import Bench, Point
from pipelines.search.measuring.choosing import choose, front, is_good
from pipelines.search.measuring.logged import logged_vectors
from pipelines.search.measuring.tuning import Limits, Sweep, grid, read_sweeps, tune, ways
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.indexes import VectorIndex, standing

ROWS = 1200
RECALLS = {"recall": 1.0, "recall_10": 1.0, "recall_1": 1.0}
GOOD = {**RECALLS, "p50_ms": 1.0, "p95_ms": 1.0, "build_s": 1.0}
SQ = VectorIndex(index="ivf_sq", params={"target_partition_size": 64})


def point(index: Any, p99_ms: float, size: int = 0, **other: Any) -> Point:
    return Point(**{**GOOD, "index": index, "p99_ms": p99_ms, "bytes": size, **other})


EXACT = point("exact", 80.0)


@pytest.fixture(scope="module", autouse=True)
def few_ways() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "_PROBES", (5, 64))
        patch.setattr(tuning, "_REFINES", (2,))
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    (home / "policy.toml").write_text('gates = ["identities", "ann_recall"]\n')
    return Settings(home=home, index_rows=ROWS)


@pytest.fixture(scope="module")
def store(settings: Settings) -> Store:
    store = Store(settings.root)
    fill(store, range(ROWS))
    return store


@pytest.fixture(scope="module")
def manifest(store: Store, settings: Settings) -> Manifest:
    made = publish(store, CHOICES, settings)
    assert made.event == "promoted"
    return made.manifest


@pytest.fixture(scope="module")
def sweep(store: Store, manifest: Manifest) -> Sweep:
    return swept(store, manifest)


def swept(store: Store, manifest: Manifest, **given: Any) -> Sweep:
    (one,) = tune(store, manifest.channels, Limits(ROWS, queries=20), indexes=few, **given)
    assert read_choices(store)["visual"] == one.choice()
    assert read_sweeps(store)["visual"] == one
    return one


def few(rows: int, width: int) -> list[VectorIndex]:
    """The default index and one that looks at too little."""
    return [VectorIndex(), VectorIndex(index="ivf_sq", params={"target_partition_size": 32})]


def test_the_fastest_that_finds_enough_is_chosen_and_the_smaller_of_equals() -> None:
    quick = point("ivf_rq", 5.0, 900)
    close = point("ivf_sq", 5.8, 400, params=SQ.params)
    poor = point("ivf_pq", 1.0, 100, recall=0.955)
    filtered = point("hnsw_sq", 1.0, 100, recall_10=0.9)
    assert choose([EXACT, quick, poor, filtered]) == quick
    assert choose([EXACT, quick, close, poor]) == close, "within what runs differ by"
    assert choose([EXACT, quick, close], standing=quick) == quick, "no index is rebuilt for that"
    assert choose([EXACT, poor]) == EXACT
    assert choose([point("exact", 400.0), point("ivf_rq", 170.0)]).index == "ivf_rq"
    assert front([EXACT, quick, poor, close]) == [poor, quick]


def test_the_grid_is_scaled_to_the_corpus() -> None:
    small, large = grid(20_000, 384), grid(17_000_000, 384)
    assert small[0] == VectorIndex(index="ivf_rq") == large[0], "the default is tried first"
    assert {each.index for each in small} == {"ivf_rq", "ivf_sq", "ivf_pq", "hnsw_sq"}
    (parts,) = [each.params for each in large if each.index == "ivf_pq"]
    assert parts["num_sub_vectors"] == 16
    assert 17_000_000 // parts["target_partition_size"] == pytest.approx(16_384, rel=0.02)
    assert {each.nprobes for each in ways(large[1], 17_000_000)} == {5, 64}
    assert max(each.nprobes for each in ways(small[0], 20_000)) == 4, "it has no more lists"
    graphs = [each.params for each in large if each.index == "hnsw_sq"]
    assert graphs == [{"m": 16, "ef_construction": 100}, {"m": 32, "ef_construction": 200}]


def test_what_was_chosen_is_among_the_best(sweep: Sweep) -> None:
    assert sweep.chosen in sweep.points and is_good(sweep.chosen)
    better = [
        each
        for each in front(sweep.points)
        if is_good(each) and each.recall > sweep.chosen.recall and each.p99_ms < sweep.chosen.p99_ms
    ]
    assert better == []
    assert sweep.chosen.p99_ms <= 1.2 * min(p.p99_ms for p in sweep.points if is_good(p))
    exact = next(each for each in sweep.points if each.index == "exact")
    assert (exact.recall, exact.recall_10, exact.recall_1, exact.bytes) == (1.0, 1.0, 1.0, 0)
    narrow = [each for each in sweep.points if each.params and each.nprobes == 5]
    assert narrow and all(each.recall < 0.95 and each.recall_10 is None for each in narrow)


def test_held_out_queries_do_not_choose(
    store: Store, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, np.ndarray]] = []
    measure = Bench.measure

    def spied(self: Bench, ways: Any, questions: Any, *report: Any) -> Any:
        asked.append((len(ways), questions.queries))
        return measure(self, ways, questions, *report)

    monkeypatch.setattr(Bench, "measure", spied)
    one = swept(store, manifest)
    (many, choosing), (single, held_out) = asked
    assert (many, single) == (len(one.points), 1)
    assert len(choosing) == len(held_out) == 10 and one.source == "rows"
    assert not {each.tobytes() for each in choosing} & {each.tobytes() for each in held_out}
    assert one.choice().recall == one.held_out.recall


def test_queries_that_people_asked_are_taken_where_there_are_enough(
    store: Store, manifest: Manifest
) -> None:
    logged = np.stack([vector(5000 + number) for number in range(44)])
    assert swept(store, manifest, logged={"visual": logged}).source == "logged"
    assert swept(store, manifest, logged={"visual": logged[:9]}).source == "rows"


def test_logged_queries_are_those_of_the_same_table_each_once(
    store: Store, manifest: Manifest
) -> None:
    def asked(release: str, number: int, repeats: str | None = None) -> dict[str, Any]:
        probes = json.dumps({"visual": {"vector": 0, "medium": "text"}})
        vectors = [vector(number).astype(np.float32).tobytes()]
        row = {"release": release, "probes": probes, "vectors": vectors, "at": now(), "items": []}
        return {**row, "query_id": "0", "repeats": repeats}

    assert logged_vectors(store, manifest) == {}
    name = manifest.release
    store.queries.append(
        [asked(name, 1), asked(name, 1), asked(name, 2), asked("gone", 3), asked(name, 4, "0")]
    )
    found = logged_vectors(store, manifest)["visual"]
    assert {each.tobytes() for each in found} == {vector(n).tobytes() for n in (1, 2)}
    assert found.shape == (2, DIMENSION)
    other = manifest.channels["visual"].model_copy(update={"table": "of another encoder"})
    assert logged_vectors(store, manifest.model_copy(update={"channels": {"visual": other}})) == {}


def test_without_time_the_rest_of_the_grid_is_left_out(store: Store, manifest: Manifest) -> None:
    limits = Limits(ROWS, sample=600, seconds=0.0, queries=10)
    (one,) = tune(store, manifest.channels, limits, indexes=few)
    assert one.skipped == few(0, 0)[1:] and one.measured == 600 and one.rows == ROWS
    assert tune(store, manifest.channels, Limits(ROWS + 1), indexes=few) == []


def choice(store: Store, manifest: Manifest, index: VectorIndex, **other: Any) -> Choice:
    made = Choice(
        **index.model_dump(),
        table=manifest.channels["visual"].table,
        recall=0.98,
        p99_ms=4.0,
        rows=ROWS,
        at=manifest.created_at,
        **other,
    )
    write_choices(store, {"visual": made})
    return made


def test_the_next_release_is_built_and_asked_as_chosen(
    store: Store, manifest: Manifest, settings: Settings
) -> None:
    def release() -> Manifest:
        return publish(store, CHOICES, settings).manifest

    def built() -> VectorIndex:
        return standing(at_version(store, version.table, version.version))

    choice(store, manifest, SQ, nprobes=16, refine=3)
    assert not is_as_tuned(store, require(store))
    second = release()
    version = second.channels["visual"]
    assert second.release > manifest.release and built() == SQ
    assert (version.nprobes, version.refine, version.indexed) == (16, 3, True)
    assert is_as_tuned(store, second)
    assert release() == second, "the same choice moves nothing"

    choice(store, manifest, SQ, nprobes=18, refine=3)
    third = release()
    assert third.channels["visual"].nprobes == 18
    assert third.tables() == second.tables(), "another way to ask needs no other index"

    choice(store, manifest, VectorIndex(index="exact"))
    fourth = release()
    version = fourth.channels["visual"]
    assert not version.indexed and built() == VectorIndex(index="exact")
    assert is_as_tuned(store, fourth) and release() == fourth

    other = choice(store, manifest, SQ, nprobes=1, refine=1).model_copy(update={"table": "other"})
    write_choices(store, {"visual": other})
    assert release() == fourth, "what was measured of another table says nothing of this one"


def test_the_gate_asks_as_the_release_does_with_filters_and_without(
    store: Store, manifest: Manifest, settings: Settings
) -> None:
    choice(store, manifest, SQ, nprobes=2, refine=1)
    refused = publish(store, CHOICES, settings)
    (gate,) = [each for each in refused.verdict.gates if each.name == "ann_recall"]
    assert refused.event == "refused" and gate.value is not None and gate.value < 0.95
    assert f"visual {gate.value:.3f} (" in gate.detail and "of a tenth)" in gate.detail
    choice(store, manifest, SQ, nprobes=64, refine=1)
    assert publish(store, CHOICES, settings).event == "promoted"

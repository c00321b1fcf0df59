"""Backfills in real runs: only their scope moves; another encoder is built beside the serving."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from checkpoints import tiny_sentences
from homes import Home
from waiting import wait_until

from definitions import definitions
from pipelines import outcomes
from pipelines.errors import MediadexError
from pipelines.models.suite import ModelSuite
from pipelines.planning import compare, estimate, save, scope
from pipelines.releases.log import serving
from pipelines.releases.publish import promote
from pipelines.search.asked.query import Query
from pipelines.search.service import SearchService
from pipelines.steps.redact import RedactStep
from pipelines.tables.vectors import SearchTable
from resources.home import HomeResource
from sensors.automation import retry_failed
from sensors.launch import Launcher

pytestmark = pytest.mark.slow

NOTES = ("the dog on the beach", "a cat", "the cat on a dog", "a beach")


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notes")
    for number, text in enumerate(NOTES):
        (folder / f"note-{number}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def home(open_home: Callable[..., Home], notes: Path) -> Home:
    """Four notes in two batches, released."""
    home = open_home(2)
    assert home.index(notes)["release"] == "r000001"
    return home


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sentence-transformers:{tiny_sentences(tmp_path_factory.mktemp('tiny'))}"


def launcher(home: Home) -> Launcher:
    return Launcher(home.defs, home.settings)


def versions(home: Home) -> dict[str, Any]:
    """Versions of all tables that hold derived rows."""
    encoders = ModelSuite().encoders()
    tables: dict[str, SearchTable] = {
        name: home.store.channel(name, choice.identity) for name, choice in encoders.items()
    }
    opened = {
        name: table.open() for name, table in {**tables, "passages": home.store.passages}.items()
    }
    facts = ("items", "segments", "texts", "findings", "outcomes")
    return {name: table and table.version for name, table in opened.items()} | {
        name: getattr(home.store, name).version for name in facts
    }


def test_only_the_scope_of_a_backfill_moves(home: Home) -> None:
    table = home.store.channel("ocr", ModelSuite().encoders()["ocr"].identity)
    lost = table.rows(["key", "batch"])
    table.remove([row["key"] for row in lost])
    second = home.batches[1]
    what = scope(home.store, "ocr", second)
    before = versions(home)
    name = save(home.store, what, estimate(home.store, ModelSuite(), home.settings, what))
    launcher(home).backfill(what)
    after = versions(home)
    assert {each for each in before if before[each] != after[each]} == {"ocr"}
    assert {row["batch"] for row in table.rows(["batch"])} == {second}
    [step] = compare(home.store, name)["steps"]
    assert step["rows"] == step["rows_done"] == 2 and step["seconds_taken"] > 0
    launcher(home).backfill(scope(home.store, "ocr"))
    assert {row["key"] for row in table.rows(["key"])} == {row["key"] for row in lost}


def test_another_encoder_is_built_beside_and_switched_to_by_one_promotion(
    home: Home, newer: str
) -> None:
    first = serving(home.store)
    failures, releases, stop = [], [], threading.Event()

    def ask() -> None:
        async def loop() -> None:
            service = SearchService(home.store, home.settings)
            while not stop.is_set():
                answer = await service.search(Query("a dog", k=3))
                releases.append(answer["release"])
                await asyncio.sleep(0.02)

        try:
            asyncio.run(loop())
        except Exception as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        part = launcher(home).backfill(scope(home.store, "ocr", home.batches[0], newer))
        assert part == {"remaining": 2, "candidate": None}
        rest = launcher(home).backfill(scope(home.store, "ocr", None, newer))
        assert rest["remaining"] == 0 and serving(home.store) == first
        promote(home.store, rest["candidate"], home.settings)
        wait_until(lambda: releases[-1:] == [rest["candidate"]] or failures)
    finally:
        stop.set()
        asking.join()
    assert not failures
    assert list(dict.fromkeys(releases)) == [first.release, rest["candidate"]]
    channels = serving(home.store).channels
    assert channels["ocr"].spec == newer and channels["ocr"].rows == first.channels["ocr"].rows
    old = home.store.channel("ocr", ModelSuite().encoders()["ocr"].identity)
    assert old.open().count_rows() == first.channels["ocr"].rows


def test_a_plan_is_an_asset_too(home: Home) -> None:
    result = home.run("backfill_plan", config={"backfill_plan": {"channel": "meta"}})
    assert result.success
    [event] = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["rows"].value == 0
    assert metadata["plan"].value == compare(home.store)["plan"]
    again = home.run("backfill_plan", config={"backfill_plan": {"compare": metadata["plan"].value}})
    assert again.success


def test_redo_is_a_job_for_a_batch(home: Home) -> None:
    job = home.defs.resolve_job_def("redo_failed")
    result = job.execute_in_process(instance=home.instance, partition_key=home.batches[0])
    assert result.success
    config = home.instance.get_run_by_id(result.run_id).run_config
    assert config["ops"]["ocr_embeddings"]["config"] == {"redo": True}


def test_what_failed_is_redone_by_command_and_by_sensor(
    open_home: Callable[..., Home], notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = open_home(2)
    load = RedactStep.load

    def failing(self: RedactStep, work: Any) -> Any:
        if work.payload["origins"][0]["file_name"] == "note-1.txt":
            raise MediadexError("the disk is away")
        return load(self, work)

    with monkeypatch.context() as broken:
        broken.setattr(RedactStep, "load", failing)
        assert home.index(notes)["outcomes"]["failed"] == 1
        [row] = home.store.outcomes.rows(where="status = 'failed'")
        assert row["next_try"] is not None and row["reason"] == "the disk is away"
        assert home.index(notes)["encoded"]["ocr"] == 0, "its time has not come"
        [again] = home.store.outcomes.rows(where="status = 'failed'")
        assert again["attempts"] == 1
    assert requests(home) == []
    with monkeypatch.context() as later:
        later.setattr(outcomes, "now", lambda: row["next_try"])
        [request] = requests(home)
        assert request.partition_key == row["batch"]
    late = outcomes.outcome("a", "ingest", "failed", "", uri=notes.as_uri(), error="E", reason="?")
    outcomes.record(home.store.outcomes, "ingest", [late])
    report = launcher(home).redo()
    assert report["encoded"]["ocr"] == 1 and report["outcomes"]["failed"] == 0
    assert home.store.outcomes.rows(where="status = 'failed'") == []


def requests(home: Home) -> list[dg.RunRequest]:
    """What the sensor asks for now."""
    defs = definitions()
    with dg.build_sensor_context(instance=home.instance, definitions=defs) as context:
        found: Any = retry_failed(context, home=HomeResource())
        return [each for each in found if isinstance(each, dg.RunRequest)]

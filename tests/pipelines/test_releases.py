"""Releases over real tables: what they name, what is decided on them, what search finds."""

import asyncio
import datetime as dt
import multiprocessing
import time
from pathlib import Path
from typing import Any

import lancedb
import pytest
from toy import CHOICES, MODEL, OTHER, Toy, fill, item_id, rows

from pipelines.errors import GateRefused, MediadexError, NotReleased
from pipelines.models import factory
from pipelines.models.protocols import ModelChoice
from pipelines.releases import log
from pipelines.releases import publish as module
from pipelines.releases.manifest import Manifest, Verdict
from pipelines.releases.publish import is_current, promote, publish, rollback
from pipelines.search.asked.query import Query
from pipelines.search.searcher import Searcher
from pipelines.settings import Settings
from pipelines.store import Store

ANY = Settings(refuse_nonsense=False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, index_rows=300)


@pytest.fixture
def store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(factory, "image_encoder", Toy)
    return Store(settings.root)


def found(store: Store, manifest: Manifest, text: str, where: str | None = None) -> list[str]:
    query = Query(text, k=3, where=where)
    answer = asyncio.run(Searcher(store, manifest, ANY).answer(query))
    return [entry.item_id for entry in answer.shown]


def serving(store: Store) -> str:
    return log.require(store).release


def grow(store: Store, settings: Settings, *sizes: int) -> list[str]:
    """Publish after adding items, some more each time; returns the releases."""
    made = []
    for size in sizes:
        fill(store, range(size))
        made.append(publish(store, CHOICES, settings).manifest.release)
    return made


def test_there_is_nothing_to_search_before_the_first_release(store: Store) -> None:
    with pytest.raises(NotReleased, match="mediadex index"):
        log.require(store)
    with pytest.raises(NotReleased):
        rollback(store)
    assert not is_current(store, CHOICES)
    assert log.history(store) == []


def test_a_release_stands_while_nothing_changes(store: Store, settings: Settings) -> None:
    fill(store, range(5))
    manifest, new, event, verdict = publish(store, CHOICES, settings)
    assert (manifest.release, manifest.items, new, event) == ("r000001", 5, True, "promoted")
    assert verdict.passed and manifest.channels["visual"].identity["weights"] == MODEL.weights
    assert publish(store, CHOICES, settings) == (manifest, False, "promoted", verdict)
    assert is_current(store, CHOICES)
    assert len(log.read(store).events) == 1


def test_new_rows_need_a_new_release_and_the_old_one_answers_as_before(
    store: Store, settings: Settings
) -> None:
    fill(store, range(5))
    first = publish(store, CHOICES, settings).manifest
    fill(store, range(5, 9))
    assert not is_current(store, CHOICES)
    assert item_id(7) not in found(store, first, "7")
    second = publish(store, CHOICES, settings).manifest
    assert second.release > first.release
    assert found(store, second, "7")[0] == item_id(7)
    assert item_id(7) not in found(store, first, "7")


def test_an_item_less_is_noticed_though_no_table_of_rows_moved(
    store: Store, settings: Settings
) -> None:
    grow(store, settings, 5)
    store.items.replace(f"item_id = '{item_id(0)}'", [{"item_id": item_id(0), "deleted": True}])
    assert not is_current(store, CHOICES)
    assert publish(store, CHOICES, settings).manifest.items == 4


def test_large_tables_get_indexes_and_the_same_answers(store: Store, settings: Settings) -> None:
    fill(store, range(400))
    fill(store, range(400, 420), region="us")
    manifest = publish(store, CHOICES, settings).manifest
    assert manifest.channels["visual"].indexed
    table = store.channel("visual", MODEL).open()
    assert table is not None
    indexed = {column for index in table.list_indices() for column in index.columns}
    assert {"vector", "region", "tags", "item_id"} <= indexed
    for number in (3, 250, 410):
        assert found(store, manifest, str(number))[0] == item_id(number)
    in_us = found(store, manifest, "3", "region = 'us'")
    assert len(in_us) == 3 and set(in_us) <= {item_id(n) for n in range(400, 420)}


def test_rows_added_after_the_index_are_found_too(store: Store, settings: Settings) -> None:
    fill(store, range(400))
    publish(store, CHOICES, settings)
    fill(store, range(400, 450))
    manifest = publish(store, CHOICES, settings).manifest
    assert found(store, manifest, "444")[0] == item_id(444)


def test_an_encoder_of_another_identity_is_not_asked(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(5))
    manifest = publish(store, CHOICES, settings).manifest
    choice = manifest.channels["visual"].model_copy(update={"spec": "other"})
    changed = manifest.model_copy(update={"channels": {"visual": choice}})
    answer = asyncio.run(Searcher(store, changed, ANY).answer(Query("1")))
    assert [each.name for each in answer.encoded.degraded] == ["visual"]
    assert "toy" in answer.encoded.degraded[0].reason and not answer.shown


def test_channels_of_a_result_sum_to_its_score(store: Store, settings: Settings) -> None:
    fill(store, range(50))
    manifest = publish(store, CHOICES, settings).manifest
    answer = asyncio.run(Searcher(store, manifest, ANY).answer(Query("7", k=50)))
    assert len(answer.shown) == 50
    for entry in answer.shown:
        assert sum(entry.channels.values()) == pytest.approx(entry.score, abs=1e-9)


def test_a_candidate_waits_until_it_is_promoted(store: Store, settings: Settings) -> None:
    grow(store, settings, 3)
    fill(store, range(5))
    held = publish(store, CHOICES, settings, hold=True)
    assert held.event == "candidate" and serving(store) == "r000001"
    assert is_current(store, CHOICES) and publish(store, CHOICES, settings)[1:3] == (
        False,
        "candidate",
    )
    assert promote(store, "r000002", settings).verdict.passed
    assert serving(store) == "r000002"
    assert [row["state"] for row in log.history(store)] == ["serving", "superseded"]


def test_a_refused_candidate_leaves_the_last_release_serving_until_it_passes(
    store: Store, settings: Settings
) -> None:
    grow(store, settings, 3)
    store.channel("visual", MODEL).upsert(rows([8], OTHER))
    refused = publish(store, CHOICES, settings)
    assert refused.event == "refused" and serving(store) == "r000001"
    (gate,) = refused.verdict.refusals
    assert gate.name == "identities" and "1 of 4 rows" in gate.detail
    assert not is_current(store, CHOICES), "what was refused is asked again"
    assert publish(store, CHOICES, settings)[1:3] == (False, "refused")
    assert len(log.read(store).events) == 2, "the same refusal is not told twice"
    with pytest.raises(GateRefused, match=r"r000002 .* identities: visual: 1 of 4 rows"):
        promote(store, "r000002", settings)

    (settings.home / "policy.toml").write_text('gates = ["residual"]')
    passed = publish(store, CHOICES, settings)
    assert passed[1:3] == (False, "promoted") and serving(store) == "r000002"


def test_rolling_back_twice_leads_two_releases_back(store: Store, settings: Settings) -> None:
    first, second, third = grow(store, settings, 2, 3, 4)
    assert rollback(store).release == second == serving(store)
    assert rollback(store).release == first == serving(store)
    with pytest.raises(MediadexError, match=f"nothing served before {first}"):
        rollback(store)
    assert is_current(store, CHOICES), "what was rolled back does not come back by itself"
    assert publish(store, CHOICES, settings).manifest.release == third
    assert serving(store) == first
    assert rollback(store, third).release == third == serving(store)


def test_after_a_rollback_new_releases_wait_until_one_is_promoted(
    store: Store, settings: Settings
) -> None:
    first, _ = grow(store, settings, 2, 3)
    rollback(store)
    fill(store, range(4))
    assert publish(store, CHOICES, settings)[1:3] == (True, "candidate")
    assert serving(store) == first
    promote(store, "r000003", settings)
    assert grow(store, settings, 5) == ["r000004"] == [serving(store)]


def test_a_rollback_takes_milliseconds(store: Store, settings: Settings) -> None:
    grow(store, settings, 2, 3, 4, 5)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        rollback(store)
        took.append(time.perf_counter() - started)
    assert min(took) < 0.5


def test_only_what_served_can_be_rolled_back_to(store: Store, settings: Settings) -> None:
    grow(store, settings, 2)
    fill(store, range(3))
    publish(store, CHOICES, settings, hold=True)
    with pytest.raises(MediadexError, match="mediadex promote r000002"):
        rollback(store, "r000002")
    with pytest.raises(MediadexError, match="no release r000009"):
        rollback(store, "r000009")


def test_a_release_whose_tables_were_cleaned_cannot_serve_again(
    store: Store, settings: Settings
) -> None:
    grow(store, settings, 2, 3)
    table = lancedb.connect(store.search_root).open_table("passages")
    table.tags.delete("r000001")
    table.to_lance().cleanup_old_versions(older_than=None, retain_versions=1)
    for serve in (lambda: rollback(store), lambda: promote(store, "r000001", settings)):
        with pytest.raises(MediadexError, match="passages is gone"):
            serve()
    assert serving(store) == "r000002"


def test_going_back_to_a_model_serves_the_release_that_has_it(
    store: Store, settings: Settings
) -> None:
    grow(store, settings, 4)
    store.channel("visual", OTHER).upsert(rows(range(4), OTHER))
    others = {"visual": ModelChoice("other", OTHER)}
    assert publish(store, others, settings, hold=True).event == "candidate"
    assert is_current(store, CHOICES) and is_current(store, others)
    promote(store, "r000002", settings)
    assert not is_current(store, CHOICES)
    assert publish(store, CHOICES, settings)[1:3] == (False, "promoted")
    assert serving(store) == "r000001" and len(log.manifests(store)) == 2


def test_what_must_stay_servable_is_kept(store: Store, settings: Settings) -> None:
    grow(store, settings, 1, 2, 3, 4)
    rollback(store, "r000001")
    fill(store, range(5))
    publish(store, CHOICES, settings)
    assert [*log.kept(store, 2)] == ["r000001", "r000003", "r000004", "r000005"]
    grow(store, settings, 6)
    promote(store, "r000006", settings)
    assert [*log.kept(store, 1)] == ["r000006"], "an older candidate will not be promoted"


def test_a_rewritten_release_keeps_its_name_and_state(store: Store, settings: Settings) -> None:
    grow(store, settings, 3, 4)
    changed = [each.model_copy(update={"items": 2}) for each in log.manifests(store).values()]
    log.rewrite(store, changed, "without an erased item")
    assert log.require(store) == changed[1]
    assert [row["state"] for row in log.history(store)] == ["serving", "superseded"]
    assert rollback(store).items == 2
    assert [event.sequence for event in log.read(store).events] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("started_first", ["the older state", "the newer state"])
def test_a_state_that_was_overtaken_while_gates_were_asked_is_not_released(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, started_first: str
) -> None:
    fill(store, range(2))
    ask, overtook = module.ask, []

    def ask_slowly(*args: Any) -> Verdict:
        if not overtook:
            overtook.append(True)
            store.channel("visual", MODEL).upsert(rows([100]))
            other = publish(store, CHOICES, settings).manifest
            if started_first == "the newer state":
                earlier = other.created_at - dt.timedelta(minutes=1)
                log.rewrite(store, [other.model_copy(update={"created_at": earlier})], "a slow one")
        return ask(*args)

    monkeypatch.setattr(module, "ask", ask_slowly)
    standing = publish(store, CHOICES, settings)
    assert standing.manifest.channels["visual"].rows == 3 and not standing.new
    assert [*log.manifests(store)] == ["r000001"]


def _publish_often(root: str, start: int) -> None:
    store, settings = Store(root), Settings(home=Path(root), index_rows=10_000)
    for number in range(start, start + 4):
        store.channel("visual", MODEL).upsert(rows([number]))
        publish(store, CHOICES, settings)


@pytest.mark.slow
def test_publishers_at_once_never_give_one_name_to_two_contents(
    store: Store, settings: Settings
) -> None:
    fill(store, range(2))
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2) as pool:
        pool.starmap(_publish_often, [(store.root, 100), (store.root, 200)])
    past = log.read(store)
    assert [event.sequence for event in past.events] == [*range(1, len(past.events) + 1)]
    made = [event.release for event in past.events if event.manifest]
    assert len(made) == len(set(made))
    contents = [manifest.contents() for manifest in past.manifests.values()]
    assert all(contents.count(each) == 1 for each in contents)
    versions = [manifest.channels["visual"].version for manifest in past.manifests.values()]
    assert versions == sorted(versions), "an older state never follows a newer one"
    database = lancedb.connect(store.search_root)
    for name, manifest in past.manifests.items():
        table = database.open_table(manifest.channels["visual"].table)
        assert table.tags.list()[name]["version"] == manifest.channels["visual"].version
        table.checkout(name)
        assert table.count_rows() == manifest.channels["visual"].rows
    assert log.require(store).channels["visual"].rows == 10

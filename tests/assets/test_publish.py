"""The release asset: what an operator sees of a promotion, a candidate on hold and a refusal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from toy import CHOICES, MODEL, OTHER, fill, rows

from assets.publish import release
from pipelines.models.protocols import ModelChoice
from pipelines.releases import log
from pipelines.store import Store
from resources.home import HomeResource


class Suite:
    """Models of a toy index."""

    def __init__(self, choices: Mapping[str, ModelChoice]):
        self._choices = choices

    def with_encoders(self, specs: Mapping[str, str]) -> "Suite":
        return Suite({**self._choices, **{name: ModelChoice("other", OTHER) for name in specs}})

    def encoders(self) -> Mapping[str, ModelChoice]:
        return self._choices


class ToyHome(HomeResource):
    def models(self) -> Any:
        return Suite(CHOICES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    fill(store, range(5))
    return store


def run(store: Store, **config: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [release],
        resources={"home": ToyHome(home=store.root)},
        run_config={"ops": {"release": {"config": config}}},
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    (event,) = result.asset_materializations_for_node("release")
    return event.metadata


def test_a_promotion_shows_what_every_gate_said(store: Store) -> None:
    told = metadata(run(store))
    assert told["event"].value == "promoted" and told["rows_visual"].value == 5
    verdict = {row.data["gate"]: row.data["answer"] for row in told["verdict"].value.records}
    assert verdict["identities"] == "passed" and verdict["evaluation"] == "not asked"
    assert "### Release r000001: promoted" in told["notes"].value


def test_a_candidate_on_hold_waits(store: Store) -> None:
    run(store)
    store.channel("visual", OTHER).upsert(rows(range(5), OTHER))
    told = metadata(run(store, hold=True, encoders={"visual": "other"}))
    assert told["event"].value == "candidate" and told["release"].value == "r000002"
    assert log.require(store).release == "r000001"


def test_a_refusal_fails_the_asset_by_gate_and_the_last_release_goes_on(store: Store) -> None:
    run(store)
    store.channel("visual", MODEL).upsert(rows([7], OTHER))
    refused = run(store)
    (failure,) = [e for e in refused.all_events if e.is_step_failure]
    told = failure.step_failure_data.user_failure_data
    assert told is not None and told.description is not None
    assert "r000002 was refused" in told.description
    assert "identities: visual: 1 of 6 rows" in told.description
    assert {"verdict", "notes"} <= told.metadata.keys()
    assert not refused.asset_materializations_for_node("release")
    assert log.require(store).release == "r000001"

"""Comparing two releases: items, rows by recipe, channels, models, metrics."""

from pathlib import Path

import pytest
from toy import CHOICES, MODEL, OTHER, fill, item_id, rows

from pipelines.errors import MediadexError
from pipelines.models.protocols import ModelChoice
from pipelines.releases import log
from pipelines.releases.compare import compare
from pipelines.releases.events import Event
from pipelines.releases.manifest import Verdict
from pipelines.releases.publish import publish
from pipelines.settings import Settings
from pipelines.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_a_release_differs_by_its_rows_and_items(store: Store, settings: Settings) -> None:
    fill(store, range(10))
    publish(store, CHOICES, settings)
    table = store.channel("visual", MODEL)
    table.upsert(rows([0, 1], recipe="s"))
    table.upsert(rows([2], title="only its attributes"))
    table.remove([f"{item_id(9)}#image"])
    store.passages.remove([f"{item_id(9)}#image", f"{item_id(8)}#image"])
    fill(store, range(20, 25))
    publish(store, CHOICES, settings)

    found = compare(store, "r000001", "r000002", ids=2)
    assert found["items"] == {
        "added": {"count": 5, "ids": [item_id(20), item_id(21)]},
        "removed": {"count": 1, "ids": [item_id(9)]},
    }
    assert found["rows"] == {
        "visual": {"added": 5, "removed": 1, "changed": 2, "same": 7},
        "passages": {"added": 5, "removed": 2, "changed": 0, "same": 8},
    }
    assert found["channels"] == {"added": [], "removed": []} and found["models"] == {}

    back = compare(store, "r000002", "r000001")
    assert back["items"]["added"]["ids"] == [item_id(9)]
    assert back["rows"]["visual"] == {"added": 1, "removed": 5, "changed": 2, "same": 7}


def test_a_release_differs_by_its_channels_models_and_metrics(
    store: Store, settings: Settings
) -> None:
    fill(store, range(4))
    first = publish(store, CHOICES, settings).manifest
    store.channel("visual", OTHER).upsert(rows(range(4), OTHER, recipe="s"))
    store.channel("meta", MODEL).upsert(rows(range(3)))
    publish(store, {"visual": ModelChoice("o", OTHER), "meta": ModelChoice("m", MODEL)}, settings)
    scores = Verdict(gates=[], metrics={"fused": {"mrr": 0.5}})
    better = Verdict(gates=[], metrics={"fused": {"mrr": 0.75, "map": 0.5}})
    given = [
        Event("promoted", "r000001", verdict=scores),
        Event("promoted", "r000002", verdict=better),
    ]
    log.append(store, lambda _: given)

    found = compare(store, "r000001", "r000002")
    assert found["channels"] == {"added": ["meta"], "removed": []}
    assert found["models"]["visual"]["before"] == first.channels["visual"].identity
    assert found["models"]["visual"]["after"]["weights"] == OTHER.weights
    assert found["rows"]["visual"] == {"added": 0, "removed": 0, "changed": 4, "same": 0}
    assert found["rows"]["meta"] == {"added": 3, "removed": 0, "changed": 0, "same": 0}
    assert found["items"]["added"]["count"] == 0
    assert found["metrics"] == {"mrr": {"before": 0.5, "after": 0.75}}


def test_a_release_does_not_differ_from_itself(store: Store, settings: Settings) -> None:
    fill(store, range(4))
    publish(store, CHOICES, settings)
    found = compare(store, "r000001", "r000001")
    assert found["rows"]["visual"] == {"added": 0, "removed": 0, "changed": 0, "same": 4}
    assert found["items"]["added"] == found["items"]["removed"] == {"count": 0, "ids": []}
    with pytest.raises(MediadexError, match="no release r000002"):
        compare(store, "r000001", "r000002")

"""Releases over real tables: what they name, when a new one is made, what search finds."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from pipelines import releases
from pipelines.errors import IdentityMismatch, NotReleased
from pipelines.models import factory
from pipelines.models.protocols import Identity, ModelChoice
from pipelines.search.searcher import Query, Searcher
from pipelines.store import Store

DIMENSION = 32
MODEL = Identity("toy", "1", "0" * 64, "none", DIMENSION, "float32")
CHOICES = {"visual": ModelChoice("toy", MODEL)}
INDEX_ROWS = 300


class Toy:
    """An encoder whose query vectors are chosen by the test."""

    identity = MODEL

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.stack([vector(int(text)) for text in texts])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(factory, "image_encoder", lambda spec: Toy())
    return Store(str(tmp_path))


def vector(number: int) -> np.ndarray:
    values = np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)
    return values / np.linalg.norm(values)


def fill(store: Store, numbers: range, region: str = "eu") -> None:
    """Add items with one vector and one passage each."""
    names = [f"item-{number:04d}" for number in numbers]
    store.items.append(
        [{"item_id": name, "batch": "b", "origins": [], "deleted": False} for name in names]
    )
    rows = [
        {
            "key": f"{name}#image",
            "item_id": name,
            "batch": "b",
            "segment": "image",
            "uri": f"file:///{name}",
            "region": region,
            "recipe": "r",
            "attributes_hash": "a",
        }
        for name in names
    ]
    vectors = [
        {**row, "identity": MODEL.as_json(), "vector": vector(number)}
        for number, row in zip(numbers, rows, strict=True)
    ]
    store.channel("visual", MODEL).upsert(vectors)
    store.passages.upsert(
        [{**row, "source": "ocr", "text": f"word{row['item_id']}"} for row in rows]
    )


def publish(store: Store) -> tuple[releases.Manifest, bool]:
    return releases.publish(store, CHOICES, INDEX_ROWS)


def found(
    store: Store, manifest: releases.Manifest, text: str, where: str | None = None
) -> list[str]:
    query = Query(text, k=3, where=where)
    answer = asyncio.run(Searcher(store, manifest).search(query))
    return [entry.item_id for entry in answer.ranked]


def test_there_is_nothing_to_search_before_the_first_release(store: Store) -> None:
    with pytest.raises(NotReleased, match="mediadex index"):
        releases.require(store)
    assert not releases.is_current(store, CHOICES)


def test_a_release_stands_while_nothing_changes(store: Store) -> None:
    fill(store, range(5))
    first, new = publish(store)
    assert new and first.release == "r000001" and first.items == 5
    assert first.channels["visual"].identity["weights"] == MODEL.weights
    assert publish(store) == (first, False)
    assert releases.is_current(store, CHOICES)


def test_new_rows_need_a_new_release_and_the_old_one_answers_as_before(store: Store) -> None:
    fill(store, range(5))
    first, _ = publish(store)
    fill(store, range(5, 9))
    assert not releases.is_current(store, CHOICES)
    assert "item-0007" not in found(store, first, "7")
    second, new = publish(store)
    assert new and second.release > first.release
    assert found(store, second, "7")[0] == "item-0007"
    assert "item-0007" not in found(store, first, "7")


def test_large_tables_get_indexes_and_the_same_answers(store: Store) -> None:
    fill(store, range(400))
    fill(store, range(400, 420), region="us")
    manifest, _ = publish(store)
    assert manifest.channels["visual"].indexed
    table = store.channel("visual", MODEL).open()
    assert table is not None
    indexed = {column for index in table.list_indices() for column in index.columns}
    assert {"vector", "region", "tags", "item_id"} <= indexed
    for number in (3, 250, 410):
        assert found(store, manifest, str(number))[0] == f"item-{number:04d}"
    assert set(found(store, manifest, "3", "region = 'us'")) <= {
        f"item-{n:04d}" for n in range(400, 420)
    }
    assert len(found(store, manifest, "3", "region = 'us'")) == 3


def test_rows_added_after_the_index_are_found_too(store: Store) -> None:
    fill(store, range(400))
    publish(store)
    fill(store, range(400, 450))
    manifest, _ = publish(store)
    assert found(store, manifest, "444")[0] == "item-0444"


def test_an_encoder_of_another_identity_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(5))
    manifest, _ = publish(store)
    other = Identity("toy", "2", "1" * 64, "none", DIMENSION, "float32")
    monkeypatch.setattr(Toy, "identity", other)
    choice = manifest.channels["visual"].model_copy(update={"spec": "other"})
    changed = manifest.model_copy(update={"channels": {"visual": choice}})
    with pytest.raises(IdentityMismatch, match="toy"):
        found(store, changed, "1")


def test_channels_of_a_result_sum_to_its_score(store: Store) -> None:
    fill(store, range(50))
    manifest, _ = publish(store)
    answer = asyncio.run(Searcher(store, manifest).search(Query("7", k=50)))
    assert len(answer.ranked) == 50
    for entry in answer.ranked:
        assert sum(entry.channels.values()) == pytest.approx(entry.score, abs=1e-9)

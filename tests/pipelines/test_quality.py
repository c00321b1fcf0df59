"""Suites find what is planted in rows, count it, and let none of it out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.channels import CHANNELS
from pipelines.models.protocols import Identity
from pipelines.models.suite import ModelSuite
from pipelines.outcomes import outcome
from pipelines.quality import suites
from pipelines.quality.subjects import Subject, subjects
from pipelines.quality.suites import Verdict
from pipelines.store import Store

pytestmark = pytest.mark.slow

BATCH = "2026-11-20.000"
SECRET = "S3CRET"
IDENTITY = Identity("fake", "1", "", "", 4, "float32")


class Fakes(ModelSuite):
    """Models of which only the identity is asked for."""

    def encoder(self, channel: Any) -> Any:
        return type("Fake", (), {"identity": IDENTITY})


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return Store(str(tmp_path))


def inspect(store: Store, asset: str, name: str) -> list[Verdict]:
    (subject,) = [s for s in subjects() if (s.asset, s.name) == (asset, name)]
    return suites.inspect(subject.suite, subject.rows(store, Fakes()))


def failing(verdicts: list[Verdict]) -> dict[tuple[str, str], int]:
    assert SECRET not in repr(verdicts)
    assert verdicts
    return {(v.column, v.expectation): v.unexpected for v in verdicts if not v.success}


def item(**values: Any) -> dict[str, Any]:
    row = {"item_id": "a", "batch": BATCH, "kind": "image", "content_hash": "0" * 32, "size": 5}
    return row | {"origins": [], "deleted": False} | values


def segment(**values: Any) -> dict[str, Any]:
    row = {"key": "a#image", "item_id": "a", "batch": BATCH, "segment": "image", "kind": "image"}
    return row | {"derivative": "d", "thumbnail": "t", "recipe": "r"} | values


def text(number: int = 0, **values: Any) -> dict[str, Any]:
    row = {"key": f"a#image@ocr-{number:03d}", "item_id": "a", "batch": BATCH, "segment": "image"}
    made = {"source": "ocr", "text": "nine", "text_hash": "0" * 32, "recipe": "r"}
    return row | made | values


def vector(key: str, values: Any, **others: Any) -> dict[str, Any]:
    row = {"key": key, "batch": BATCH, "item_id": key.partition("#")[0], "vector": values}
    return row | {"recipe": "r", "identity": IDENTITY.as_json()} | others


def test_items(store: Store) -> None:
    store.items.append([item(), item(item_id="b", deleted=False), item(deleted=True)])
    assert failing(inspect(store, "items", "items")) == {}

    store.items.replace(
        "1 = 1",
        [
            item(kind=SECRET),
            item(batch=f"2026-{SECRET}"),
            item(item_id=None, size=0, content_hash="1"),
        ],
    )
    assert failing(inspect(store, "items", "items")) == {
        ("item_id", "values to not be null"): 1,
        ("item_id", "values to be unique"): 2,
        ("batch", "values to match regex"): 1,
        ("kind", "values to be in set"): 1,
        ("size", "values to be between"): 1,
        ("content_hash", "value lengths to equal"): 1,
    }


def test_another_schema_than_the_contract_is_seen(store: Store) -> None:
    store.items.append([item()])
    store.items.schema = pa.schema([*store.items.schema, ("left_over", pa.string())])
    import deltalake

    rows = pa.Table.from_pylist([item(item_id="b", left_over=SECRET)], schema=store.items.schema)
    deltalake.write_deltalake(store.items.uri, rows, mode="append", schema_mode="merge")
    assert failing(inspect(store, "items", "items")) == {("", "the columns of the contract"): 1}


def test_segments(store: Store) -> None:
    bare: dict[str, Any] = {"derivative": None, "thumbnail": None}
    body = segment(key="b#body", item_id="b", segment="body", kind="text", **bare)
    store.segments.append([segment(), body])
    assert failing(inspect(store, "redacted_media", "segments")) == {}

    store.segments.append(
        [
            segment(key="c#page-1", item_id="c", segment="page-1", kind="page", derivative=None)
            | {"recipe": None}
        ]
    )
    refuse(store, "a")
    assert failing(inspect(store, "redacted_media", "segments")) == {
        ("derivative", "every picture and piece of sound has a derivative"): 1,
        ("recipe", "values to not be null"): 1,
        ("refused", "nothing of an item that was refused"): 1,
    }


def refuse(store: Store, item_id: str) -> None:
    row = outcome(
        item_id, "redacted_media", "quarantined", "r", item_id=item_id, error="ResidualFinding"
    )
    store.outcomes.append([row])


def test_texts(store: Store) -> None:
    fine = ["call <US_SSN>", "order 123-45-67890", "a@b", "at 9", "<EMAIL_ADDRESS>"]
    store.texts.append([text(number, text=words) for number, words in enumerate(fine)])
    store.texts.append([text(9, source="meta", confidence=None)])
    assert failing(inspect(store, "redacted_media", "texts")) == {}

    refuse(store, "b")
    store.texts.append(
        [
            text(10, text=f"{SECRET}@harbor.org", item_id="b"),
            text(11, text=f"{SECRET} 536-90-4399.", confidence=1.5),
            text(12, text=None),
            text(12, source=SECRET),
            text(13, source="meta", item_id="b"),
        ]
    )
    assert failing(inspect(store, "redacted_media", "texts")) == {
        ("confidence", "values to be between"): 1,
        ("refused", "nothing of an item that was refused"): 1,
        ("text", "no e-mail address"): 1,
        ("text", "no social security number"): 1,
        ("text", "values to not be null"): 1,
    }
    assert inspect(store, "captions", "texts") == []
    store.texts.append([text(14, source="caption"), text(14, source="caption")])
    assert failing(inspect(store, "captions", "texts")) == {("key", "values to be unique"): 2}


def test_vectors(store: Store) -> None:
    table = store.channel("visual", IDENTITY)
    table.upsert([vector("a#image", np.eye(4)[0]), vector("b#image", np.full(4, 0.5))])
    assert failing(inspect(store, "visual_embeddings", "vectors")) == {}

    bad = [
        vector("c#image", np.ones(4)),
        vector("d#image", np.full(4, np.nan), identity=SECRET),
        vector("e#image", None, recipe=None),
    ]
    rows = pa.Table.from_pylist(bad, schema=table.schema)
    table.open().add(rows, on_bad_vectors="null")
    assert failing(inspect(store, "visual_embeddings", "vectors")) == {
        ("norm", "unit length"): 1,
        ("norm", "values to not be null"): 2,
        ("identity", "one encoder identity"): 1,
        ("recipe", "values to not be null"): 1,
    }


def test_passages(store: Store) -> None:
    rows = [
        vector("a#x", None, source="ocr", text="nine"),
        vector("b#x", None, source="ocr", text=SECRET),
    ]
    for row in rows:
        del row["vector"], row["identity"]
    store.passages.upsert(rows)
    assert failing(inspect(store, "passages", "passages")) == {}
    store.passages.upsert([rows[0] | {"text": f"{SECRET}@harbor.org"}])
    assert failing(inspect(store, "passages", "passages")) == {("text", "no e-mail address"): 1}


@pytest.mark.parametrize("subject", subjects(), ids=lambda s: f"{s.asset}-{s.name}")
def test_absent_tables_have_no_rows(subject: Subject, store: Store) -> None:
    assert suites.inspect(subject.suite, subject.rows(store, Fakes())) == []
    assert subject.state(store, Fakes()) == subject.state(store, Fakes())


@pytest.mark.parametrize(
    ("asset", "write"),
    [
        ("items", lambda store: store.items.append([item()])),
        ("redacted_media", lambda store: refuse(store, "a")),
        ("captions", lambda store: store.texts.append([text()])),
        ("passages", lambda store: store.passages.upsert([{"key": "a", "text": "b"}])),
        (
            "meta_embeddings",
            lambda store: store.channel("meta", IDENTITY).upsert([vector("a", np.ones(4))]),
        ),
        ("release", lambda store: store.segments.append([segment()])),
    ],
)
def test_a_change_of_what_is_read_changes_the_state(
    asset: str, write: Callable[[Store], None], store: Store
) -> None:
    def states() -> list[str]:
        mine = [subject for subject in subjects() if subject.asset == asset]
        return [subject.state(store, Fakes()) for subject in mine]

    before = states()
    write(store)
    assert not set(before) & set(states())


def test_every_channel_has_a_subject() -> None:
    assets = [subject.asset for subject in subjects()]
    assert {f"{name}_embeddings" for name in CHANNELS} <= set(assets)

"""A small index without models: vectors by number, so that tests know what must be found."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from pipelines.models.protocols import Identity, ModelChoice
from pipelines.outcomes import now
from pipelines.store import Store

DIMENSION = 32
MODEL = Identity("toy", "1", "0" * 64, "none", DIMENSION, "float32")
OTHER = Identity("toy", "2", "1" * 64, "none", DIMENSION, "float32")
CHOICES = {"visual": ModelChoice("toy", MODEL)}
MODELS = {"toy": MODEL, "other": OTHER}


class Toy:
    """An encoder whose query vectors are chosen by the test."""

    def __init__(self, spec: str = "toy"):
        self.identity = MODELS[spec]

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.stack([vector(int(text)) for text in texts])


def vector(number: int) -> np.ndarray:
    values = np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)
    return values / np.linalg.norm(values)


def item_id(number: int) -> str:
    return f"item-{number:04d}"


def rows(numbers: Iterable[int], identity: Identity = MODEL, **values: Any) -> list[dict[str, Any]]:
    """Rows of the visual channel, one an item."""
    return [
        {
            "key": f"{item_id(number)}#image",
            "item_id": item_id(number),
            "batch": "b",
            "segment": "image",
            "kind": "image",
            "uri": f"file:///{item_id(number)}",
            "region": "eu",
            "recipe": "r",
            "attributes_hash": "a",
            "identity": identity.as_json(),
            "vector": vector(number),
            **values,
        }
        for number in numbers
    ]


def fill(store: Store, numbers: Iterable[int], identity: Identity = MODEL, **values: Any) -> None:
    """Add items with one vector and one passage each."""
    numbers = list(numbers)
    made = rows(numbers, identity, **values)
    catalog(store, numbers)
    store.channel("visual", identity).upsert(made)
    passages = [{k: v for k, v in row.items() if k not in ("identity", "vector")} for row in made]
    store.passages.upsert(
        [{**row, "source": "ocr", "text": f"word{row['item_id']}"} for row in passages]
    )


def catalog(store: Store, numbers: Iterable[int]) -> None:
    """Register items."""
    store.items.append(
        [
            {
                "item_id": item_id(number),
                "batch": "b",
                "kind": "image",
                "origins": [],
                "deleted": False,
                "updated_at": now(),
            }
            for number in numbers
        ]
    )


def erase(store: Store, *item_ids: str) -> None:
    """Enter items in the ledger of erasures."""
    store.ledger.append([{"event": "erased", "item_id": each, "at": now()} for each in item_ids])

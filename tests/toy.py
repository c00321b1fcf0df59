"""A small index without models: vectors by number, so that tests know what must be found."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.models import factory
from pipelines.models.protocols import Heard, Identity, ModelChoice, SpokenWord
from pipelines.models.voice import Utterance
from pipelines.outcomes import now
from pipelines.store import Store

DIMENSION = 32
MODEL = Identity("toy", "1", "0" * 64, "none", DIMENSION, "float32")
OTHER = Identity("toy", "2", "1" * 64, "none", DIMENSION, "float32")
CHOICES = {"visual": ModelChoice("toy", MODEL)}
MODELS = {"toy": MODEL, "other": OTHER}
SPOKEN = ("transcript", "audio")
SHOWN = ("visual", "caption", "video", "story")


class Toy:
    """An encoder whose query vectors are chosen by the test: of texts, pictures, sound and clips.

    A text is a number, a picture and a sound hold one (see `picture` and `sound`).
    """

    def __init__(self, spec: str = "toy"):
        self.identity = MODELS[spec]

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.stack([vector(int(text)) for text in texts])

    def prepare(self, content: Any) -> int:
        return number_in(content[0] if isinstance(content, tuple) else content)

    def encode_prepared(self, prepared: list[int]) -> np.ndarray:
        return np.stack([vector(number) for number in prepared])

    def caption_prepared(self, prepared: list[int]) -> list[str]:
        return [str(number) for number in prepared]

    def recognise(self, utterances: list[np.ndarray]) -> list[Heard]:
        return [Heard((SpokenWord(str(number_in(each)), 0.0, 1.0),)) for each in utterances]

    def utterances(self, blocks: Iterable[np.ndarray]) -> Iterator[Utterance]:
        yield Utterance(0.0, np.concatenate(list(blocks)))


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the toy in the place of every model that a query needs."""
    for job in ("text_encoder", "image_encoder", "sound_encoder", "clip_encoder"):
        monkeypatch.setattr(factory, job, Toy)
    monkeypatch.setattr(factory, "captioner", lambda spec: Toy())
    monkeypatch.setattr(factory, "recognizer", lambda *chosen: Toy())
    monkeypatch.setattr(factory, "voice_activity", Toy)


def picture(number: int) -> Image.Image:
    """A picture of a number up to 12; its grey survives compression."""
    return Image.new("RGB", (64, 48), (20 * number,) * 3)


def sound(number: int, seconds: float = 1.0) -> np.ndarray:
    """A sound of a number up to 12: int16 at 16 kHz, louder for higher ones."""
    loud = 2000 * (number + 1)
    times = np.arange(round(16_000 * seconds)) / 16_000
    return (loud * np.sign(np.sin(2 * np.pi * 100 * times + 0.1))).astype(np.int16)


def number_in(content: Any) -> int:
    """Read the number that a picture or a sound holds."""
    if isinstance(content, Image.Image):
        return round(np.asarray(content.convert("L")).mean() / 20)
    return round(float(np.sqrt((content.astype(float) ** 2).mean())) / 2000) - 1


def vector(number: int) -> np.ndarray:
    values = np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)
    return values / np.linalg.norm(values)


def item_id(number: int) -> str:
    return f"item-{number:04d}"


def rows(numbers: Iterable[int], identity: Identity = MODEL, **values: Any) -> list[dict[str, Any]]:
    """Rows of the visual channel, one an item."""
    return [row(item_id(number), "image", number, identity, **values) for number in numbers]


def row(
    item: str, segment: str, number: int, identity: Identity = MODEL, **values: Any
) -> dict[str, Any]:
    """A row of a channel: the part of an item that shows or says a number."""
    return {
        "key": f"{item}#{segment}",
        "item_id": item,
        "batch": "b",
        "segment": segment,
        "kind": "image",
        "uri": f"file:///{item}",
        "region": "eu",
        "recipe": "r",
        "attributes_hash": "a",
        "identity": identity.as_json(),
        "vector": vector(number),
        **values,
    }


def fill(store: Store, numbers: Iterable[int], identity: Identity = MODEL, **values: Any) -> None:
    """Add items with one vector and one passage each."""
    numbers = list(numbers)
    made = rows(numbers, identity, **values)
    catalog(store, numbers)
    store.channel("visual", identity).upsert(made)
    store.passages.upsert([passage(each, f"word{each['item_id']}") for each in made])


def passage(row: dict[str, Any], text: str, source: str = "ocr") -> dict[str, Any]:
    """A row of passages that says something where a row of vectors stands."""
    kept = {name: value for name, value in row.items() if name not in ("identity", "vector")}
    return kept | {"source": source, "text": text}


def put_all(store: Store, kind: str, numbers: Iterable[int], *channels: str) -> None:
    """Add items of a kind, called `KIND-NUMBER`, that show or say their number in some channels.

    Those of the channel `ocr` have it as a passage too.
    """
    items = {f"{kind}-{number}": number for number in numbers}
    store.items.append(
        [{"item_id": item, "batch": "b", "kind": kind, "deleted": False} for item in items]
    )
    made = {item: row(item, "meta", number, kind=kind) for item, number in items.items()}
    for channel in channels:
        store.channel(channel, MODEL).upsert([*made.values()])
    if "ocr" in channels:
        store.passages.upsert([passage(made[item], str(number)) for item, number in items.items()])


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

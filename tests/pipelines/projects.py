"""A folder of media and its home with toy models, which count what they are given."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.channels import Channel
from pipelines.models.clips import MeanDifferenceEncoder
from pipelines.models.protocols import Heard, Identity, SpokenWord
from pipelines.models.voice import Utterance
from pipelines.pipeline import STEPS, build_step
from pipelines.privacy.pii import Detector
from pipelines.reading.ocr import TesseractReader
from pipelines.settings import Settings
from pipelines.steps.ingest import ingest
from pipelines.steps.runner import Report, Step, plan, run
from pipelines.store import Store

WIDTH = 8
RATE = 16_000


def identity(name: str, dimension: int = WIDTH) -> Identity:
    return Identity(name, "1", "", "", dimension, "float32")


@dataclass
class Toy:
    """Encoder of texts, pictures or sound and captioner in one; counts what it is given."""

    identity: Identity
    seen: list[Any] = field(default_factory=list)
    saying: Callable[[str], str] = str

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        return np.stack([_unit(text.encode()) for text in texts])

    def prepare(self, content: Image.Image | np.ndarray) -> bytes:
        if isinstance(content, np.ndarray):
            return content.tobytes()
        return content.convert("RGB").resize((4, 4)).tobytes()

    def encode_prepared(self, prepared: Sequence[bytes]) -> np.ndarray:
        self.seen += prepared
        return np.stack([_unit(pixels) for pixels in prepared])

    def caption_prepared(self, prepared: Sequence[bytes]) -> list[str]:
        self.seen += prepared
        return [
            self.saying("a dark one" if max(pixels) < 100 else "a light one") for pixels in prepared
        ]


def _unit(data: bytes) -> np.ndarray:
    digest = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)[:WIDTH].astype(np.float32) + 1
    return digest / np.linalg.norm(digest)


@dataclass
class Reader:
    """The real engine; counts the pictures that it reads."""

    engine: TesseractReader
    seen: list[Any] = field(default_factory=list)

    @property
    def identity(self) -> Identity:
        return self.engine.identity

    def read(self, image: Image.Image, *args: Any, **how: Any) -> Any:
        self.seen.append(image.size)
        return self.engine.read(image, *args, **how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


@dataclass
class Voice:
    """Hears speech wherever it is loud, second by second."""

    identity: Identity = field(default_factory=lambda: identity("voice", 0))

    def utterances(self, blocks: Iterable[np.ndarray]) -> Iterator[Utterance]:
        samples = np.concatenate(list(blocks))
        for second in range(0, len(samples) // RATE):
            part = samples[second * RATE : (second + 1) * RATE]
            if np.abs(part[RATE // 4 : RATE // 2]).mean() > 1000:
                yield Utterance(float(second), part)


@dataclass
class Ear:
    """Understands notes as words, by their pitch in hundreds of hertz; counts utterances."""

    identity: Identity
    words: dict[int, str] = field(default_factory=dict)
    seen: list[int] = field(default_factory=list)

    def recognise(self, utterances: Sequence[np.ndarray]) -> list[Heard]:
        heard = []
        for samples in utterances:
            spectrum = np.abs(np.fft.rfft(samples.astype(np.float32)))
            note = round(float(spectrum.argmax()) * RATE / len(samples) / 100)
            self.seen.append(note)
            said = self.words.get(note, "").split()
            step = 1.0 / max(len(said), 1)
            heard.append(
                Heard(
                    tuple(
                        SpokenWord(word, place * step, (place + 1) * step, 0.9)
                        for place, word in enumerate(said)
                    ),
                    "en",
                )
            )
        return heard


@dataclass
class Models:
    """In place of a `ModelSuite`."""

    text: Toy = field(default_factory=lambda: Toy(identity("text")))
    image: Toy = field(default_factory=lambda: Toy(identity("image")))
    sound: Toy = field(default_factory=lambda: Toy(identity("sound")))
    caption: Toy = field(default_factory=lambda: Toy(identity("caption", 0)))
    ear: Ear = field(default_factory=lambda: Ear(identity("ear", 0)))
    ocr: Reader = field(default_factory=lambda: Reader(TesseractReader()))
    pii: Detector = field(default_factory=Detector)

    def encoder(self, channel: Channel) -> Any:
        clip = MeanDifferenceEncoder(self.image)
        kinds = {"text": self.text, "image": self.image, "sound": self.sound, "clip": clip}
        return kinds[channel.encoder]

    def captioner(self) -> Toy:
        return self.caption

    def recognizer(self, workers: int) -> Ear:
        return self.ear

    def voice(self) -> Voice:
        return Voice()

    def tagger(self) -> None:
        return None

    def reader(self) -> Reader:
        return self.ocr

    def detector(self) -> Detector:
        return self.pii


class Project:
    """A folder of media and its home, worked on without an orchestrator."""

    def __init__(self, path: Path):
        self.raw = path / "raw"
        self.raw.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(home=path / "home", workers=2)
        self.store = Store(str(path / "home"))

    def steps(self, models: Models) -> list[Step]:
        return [build_step(name, self.store, models, self.settings) for name in STEPS]  # type: ignore[arg-type]

    def index(self, models: Models) -> dict[str, Report]:
        ingest(self.store, str(self.raw), models.pii, self.settings)
        reports: dict[str, Report] = {}
        for step in self.steps(models):
            total = reports[step.name.removesuffix("_embeddings")] = Report()
            for batch in sorted(plan(step).batches):
                report = run(step, batch, self.settings)
                total.encoded += report.encoded
                total.refreshed += report.refreshed
                total.removed += report.removed
                assert not report.failures, report.failures
        return reports

    def describe(self, *rows: str) -> None:
        (self.raw / "metadata.jsonl").write_text("\n".join(rows))

"""A program that tests kill: it indexes, backfills, publishes, switches and purges one home.

    python tests/crashing.py HOME RAW LOG PHASE

Tables, Tesseract and the steps are real. Encoders are toys that write every input that they see
into LOG before they answer, so that work done twice can be counted. It says `ready` on standard
output before it begins.
"""

import hashlib
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines import ledger
from pipelines.channels import CHANNELS
from pipelines.erasure.purge import purge
from pipelines.models.protocols import Identity, ModelChoice
from pipelines.privacy.pii import Finding
from pipelines.reading.ocr import TesseractReader
from pipelines.releases import log
from pipelines.releases.publish import promote, publish, rollback
from pipelines.settings import Settings
from pipelines.steps.caption import CaptionStep
from pipelines.steps.embed import EmbedStep, PassageStep
from pipelines.steps.ingest import ingest
from pipelines.steps.redact import RedactStep
from pipelines.steps.runner import Step, plan, run
from pipelines.store import Store

WIDTH = 8
GROUP = 4
ERASED = ("memo-03", "memo-17")


class Nothing:
    """A detector that finds nothing: what it would find is not what is tested here."""

    identity = Identity("nothing", "1", "", "", 0, "")

    def find(self, text: str, entities: Sequence[str] | None = None) -> list[Finding]:
        """Return no findings."""
        return []


class Toy:
    """Encoder and captioner; notes what it is given."""

    def __init__(self, name: str, notes: Path, dimension: int = WIDTH):
        self.identity = Identity(name, "1", "", "", dimension, "float32")
        self._notes = notes

    def _note(self, inputs: Sequence[bytes]) -> None:
        lines = [f"{self.identity.name} {hashlib.sha256(each).hexdigest()}\n" for each in inputs]
        with self._notes.open("a") as file:
            file.write("".join(lines))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors made of the words."""
        data = [text.encode() for text in texts]
        self._note(data)
        return np.stack([unit(each) for each in data])

    def prepare(self, image: Image.Image) -> bytes:
        """Return a few pixels."""
        return image.convert("RGB").resize((8, 8)).tobytes()

    def encode_prepared(self, prepared: Sequence[bytes]) -> np.ndarray:
        """Return unit vectors made of the pixels."""
        self._note(prepared)
        return np.stack([unit(each) for each in prepared])

    def caption_prepared(self, prepared: Sequence[bytes]) -> list[str]:
        """Return a sentence for each picture."""
        self._note(prepared)
        return [f"picture {hashlib.sha256(each).hexdigest()[:6]}" for each in prepared]


def unit(data: bytes) -> np.ndarray:
    """Return a vector of unit length that follows from bytes."""
    values = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)[:WIDTH].astype(np.float32) + 1
    return values / np.linalg.norm(values)


class Work:
    """The phases, each of which may be killed and run again."""

    def __init__(self, home: Path, raw: Path, notes: Path):
        self.settings = Settings(home=home, workers=2, group_items=GROUP, batch_items=16)
        self.store = Store(str(home))
        self._raw = raw
        self._notes = notes

    def encoders(self, text: str = "text") -> dict[str, ModelChoice]:
        """Return the identities of all channels' encoders."""
        names = {name: text if c.encoder == "text" else c.encoder for name, c in CHANNELS.items()}
        return {
            name: ModelChoice(f"toy:{model}", Toy(model, self._notes).identity)
            for name, model in names.items()
        }

    def steps(self, text: str = "text") -> list[Step]:
        """Return all steps, with a text encoder of some name."""
        models: dict[str, Any] = {
            **{kind: Toy(kind, self._notes) for kind in ("image", "sound", "clip")},
            "text": Toy(text, self._notes),
        }
        detector: Any = Nothing()
        return [
            RedactStep(self.store, TesseractReader(), detector, self.settings),
            CaptionStep(self.store, Toy("captions", self._notes, 0), self.settings),
            *(
                EmbedStep(channel, self.store, models[channel.encoder], self.settings)
                for channel in CHANNELS.values()
            ),
            PassageStep(self.store),
        ]

    def index(self) -> None:
        """Scan, bring all batches up to date, publish."""
        detector: Any = Nothing()
        ingest(self.store, str(self._raw), detector, self.settings)
        self._derive(self.steps())
        publish(self.store, self.encoders(), self.settings)

    def backfill(self) -> None:
        """Build the tables of another text encoder beside those that serve; hold the candidate."""
        names = {f"{name}_embeddings" for name, c in CHANNELS.items() if c.encoder == "text"}
        self._derive([step for step in self.steps("newer") if step.name in names])
        publish(self.store, self.encoders("newer"), self.settings, hold=True)

    def switch(self) -> None:
        """Promote and roll back in turns; ends with the newest release serving."""
        newest = max(log.manifests(self.store))
        for _ in range(10):
            promote(self.store, newest, self.settings)
            rollback(self.store, "r000001")
        promote(self.store, newest, self.settings)

    def purge(self) -> None:
        """Erase two items, everywhere."""
        known = self.store.items.read(["item_id"], "NOT deleted")["item_id"].to_pylist()
        if doomed := sorted(set(known) & set(ERASED)):
            ledger.erase(self.store, doomed, "asked for")
        purge(self.store, self.settings, grace_s=0.0)

    def _derive(self, steps: Collection[Step]) -> None:
        for step in steps:
            for batch in sorted(plan(step).batches):
                run(step, batch, self.settings)


def main() -> None:
    """Run one phase."""
    home, raw, notes, phase = sys.argv[1:]
    work = Work(Path(home), Path(raw), Path(notes))
    import lancedb  # noqa: F401  # so that a kill meets work, not imports

    print("ready", flush=True)
    getattr(work, phase)()
    os._exit(0)


if __name__ == "__main__":
    main()

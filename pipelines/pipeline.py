"""All steps between the catalog and a release, in the order in which they feed each other."""

from collections.abc import Iterable, Mapping, Sequence

from pipelines.catalog import metadata
from pipelines.channels import CHANNELS, READING
from pipelines.models.suite import ModelSuite
from pipelines.outcomes import now
from pipelines.privacy import pii
from pipelines.reading import ocr
from pipelines.recipes import digest_json
from pipelines.settings import Settings
from pipelines.steps import caption, embed, ingest, keyframes, redact, story, tag, transcribe
from pipelines.steps.caption import CaptionStep
from pipelines.steps.describe import DescribeStep
from pipelines.steps.embed import EmbedStep, PassageStep
from pipelines.steps.items import ItemStep
from pipelines.steps.keyframes import KeyframeStep
from pipelines.steps.redact import RedactStep
from pipelines.steps.runner import Step, plan
from pipelines.steps.story import StoryStep
from pipelines.steps.tag import SoundTagStep
from pipelines.steps.transcribe import TranscriptStep
from pipelines.store import Store
from pipelines.versions import Code

AFTER: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(READING, ()),
    CaptionStep.name: (RedactStep.name, KeyframeStep.name),
    StoryStep.name: (CaptionStep.name,),
    SoundTagStep.name: (TranscriptStep.name,),
    **{EmbedStep.name_of(channel): channel.after for channel in CHANNELS.values()},
    PassageStep.name: READING,
}
"""Every step, in order, with the steps that make what it reads; the first ones read items."""

STEPS = tuple(AFTER)
"""The names of all steps, in order."""

READERS: tuple[type[ItemStep], ...] = (RedactStep, KeyframeStep, TranscriptStep)
"""The steps named in `READING`."""
DESCRIBERS: tuple[type[DescribeStep], ...] = (CaptionStep, StoryStep, SoundTagStep)
"""The steps that say in words what something shows or how it sounds."""


def upstream(name: str) -> set[str]:
    """Return all steps on whose rows those of a step depend."""
    before = set(AFTER.get(name, ()))
    return before.union(*map(upstream, before))


def build_step(name: str, store: Store, models: ModelSuite, settings: Settings) -> Step:
    """Return one step; only the models that it works with are loaded."""
    match name:
        case RedactStep.name:
            return RedactStep(store, models.reader(), models.detector(), settings)
        case KeyframeStep.name:
            return KeyframeStep(store, models.reader(), models.detector(), settings)
        case TranscriptStep.name:
            recognizer = models.recognizer(settings.workers)
            return TranscriptStep(store, models.voice(), recognizer, models.detector(), settings)
        case CaptionStep.name:
            return CaptionStep(store, models.captioner(), settings)
        case StoryStep.name:
            return StoryStep(store)
        case SoundTagStep.name:
            return SoundTagStep(store, models.tagger(), settings)
        case PassageStep.name:
            return PassageStep(store)
    channel = next(each for each in CHANNELS.values() if EmbedStep.name_of(each) == name)
    return EmbedStep(channel, store, models.encoder(channel), settings)


def versioned_code() -> dict[str, Sequence[Code]]:
    """Return the code that decides what each step makes, by the name of its version."""
    return {
        ingest.STEP: ingest.CODE,
        "metadata": (metadata,),
        RedactStep.name: redact.CODE,
        KeyframeStep.name: keyframes.CODE,
        TranscriptStep.name: transcribe.CODE,
        CaptionStep.name: caption.CODE,
        StoryStep.name: story.CODE,
        SoundTagStep.name: tag.CODE,
        "embeddings": embed.CODE,
        PassageStep.name: embed.PASSAGE_CODE,
        "detector": pii.CODE,
        "reader": ocr.CODE,
    }


def in_order(batches: Iterable[str]) -> list[str]:
    """Sort batches (`2026-11-20.003`) by their arrival."""

    def place(batch: str) -> tuple[str, int, str]:
        day, _, number = batch.rpartition(".")
        return (day, int(number), "") if number.isdecimal() else (batch, 0, batch)

    return sorted(batches, key=place)


def pending_batches(steps: Sequence[Step], store: Store) -> list[str]:
    """Return the batches in which any step has something to do, in order of arrival.

    When nothing has, the state of the tables is noted, and asking again reads only versions until
    one of them moves or a failed row is due.
    """
    state = _state(steps, store)
    noted = store.notes.read("settled")
    due = noted.get("next_try")
    if noted.get("state") == state and (due is None or now().isoformat() < due):
        return []
    plans = [plan(step) for step in steps]
    batches: set[str] = set().union(*(work.batches for work in plans))
    if not batches:
        due = min((work.next_try for work in plans if work.next_try), default=None)
        store.notes.write("settled", {"state": state, "next_try": due and due.isoformat()})
    return in_order(batches)


def _state(steps: Sequence[Step], store: Store) -> str:
    """Digest all that decides what is to be done: what steps are, and the versions of tables."""
    facts = [getattr(store, name).version for name in ("items", "segments", "texts", "outcomes")]
    return digest_json([facts, *((step.version, step.bounds, step.state()) for step in steps)])

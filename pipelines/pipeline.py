"""All steps between the catalog and a release, in the order in which they feed each other."""

from collections.abc import Iterable

from pipelines.channels import CHANNELS
from pipelines.models.suite import ModelSuite
from pipelines.settings import Settings
from pipelines.steps.caption import CaptionStep
from pipelines.steps.embed import EmbedStep, PassageStep
from pipelines.steps.redact import RedactStep
from pipelines.steps.runner import Step, plan
from pipelines.store import Store

STEPS = (
    RedactStep.name,
    CaptionStep.name,
    *(EmbedStep.name_of(channel) for channel in CHANNELS.values()),
    PassageStep.name,
)
"""The names of all steps, in order."""


def build_step(name: str, store: Store, models: ModelSuite, settings: Settings) -> Step:
    """Return one step; only the models that it works with are loaded."""
    if name == RedactStep.name:
        return RedactStep(store, models.reader(), models.detector(), settings)
    if name == CaptionStep.name:
        return CaptionStep(store, models.captioner(), settings)
    if name == PassageStep.name:
        return PassageStep(store)
    channel = next(each for each in CHANNELS.values() if EmbedStep.name_of(each) == name)
    return EmbedStep(channel, store, models.encoder(channel), settings)


def pending_batches(steps: Iterable[Step]) -> list[str]:
    """Return the batches in which any step has something to do, in order of arrival."""
    return sorted(set().union(*(plan(step).batches for step in steps)))

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


def build_steps(store: Store, models: ModelSuite, settings: Settings) -> dict[str, Step]:
    """Return every step by its name."""
    steps: list[Step] = [
        RedactStep(store, models.reader(), models.detector(), settings),
        CaptionStep(store, models.captioner(), settings),
        *(
            EmbedStep(channel, store, models.encoder(channel), settings)
            for channel in CHANNELS.values()
        ),
        PassageStep(store),
    ]
    return {step.name: step for step in steps}


def pending_batches(steps: Iterable[Step]) -> list[str]:
    """Return the batches in which any step has something to do, in order of arrival."""
    return sorted(set().union(*(plan(step).batches for step in steps)))

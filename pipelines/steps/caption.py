"""Captions of redacted pictures, pages and keyframes."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from pipelines.models.batching import in_batches
from pipelines.models.protocols import Captioner
from pipelines.settings import Settings
from pipelines.steps.describe import DescribeStep
from pipelines.steps.inputs import Pictures, open_picture
from pipelines.steps.runner import Input
from pipelines.store import Store
from pipelines.versions import step_version

SOURCE = "caption"


class CaptionStep(DescribeStep):
    """Describe every derivative with the caption model."""

    name = "captions"
    source = SOURCE

    def __init__(self, store: Store, captioner: Captioner, settings: Settings):
        self.store = store
        self.inputs = Pictures()
        self._captioner = captioner
        self._settings = settings

    @property
    def model(self) -> str:
        """Key of the caption model."""
        return self._captioner.identity.key

    @property
    def version(self) -> str:
        """Version of code and model."""
        return step_version(self.name, CODE, self._captioner.identity)

    def identity(self) -> str:
        """Return the identity of the caption model."""
        return self._captioner.identity.as_json()

    def load(self, work: Input) -> Any:
        """Decode a derivative into the model's input."""
        return self.inputs.load(self.store, work.payload, self._captioner)

    def compute(self, group: Sequence[Input], loaded: Sequence[Any]) -> Sequence[str]:
        """Caption a group."""
        size = self._settings.encode_rows
        return [*chain.from_iterable(in_batches(self._captioner.caption_prepared, loaded, size))]


CODE = (CaptionStep.load, CaptionStep.compute, Pictures.load, open_picture)
"""The code that decides what a caption says, beside the model."""

"""Names of what is heard in pieces of sound, where a model for them is configured."""

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from pipelines.models.batching import in_batches
from pipelines.models.protocols import SoundTagger
from pipelines.settings import Settings
from pipelines.steps.describe import DescribeStep
from pipelines.steps.inputs import Sounds
from pipelines.steps.runner import WANTED, Input
from pipelines.store import Store
from pipelines.versions import step_version

SOURCE = "sound"


class SoundTagStep(DescribeStep):
    """Name what is heard in every piece of sound; without a model nothing is wanted."""

    name = "sound_tags"
    source = SOURCE

    def __init__(self, store: Store, tagger: SoundTagger | None, settings: Settings):
        self.store = store
        self.inputs = Sounds()
        self._tagger = tagger
        self._settings = settings

    @property
    def model(self) -> str:
        """Key of the model, empty without one."""
        return self._tagger.identity.key if self._tagger else ""

    @property
    def version(self) -> str:
        """Version of code and model."""
        models = [self._tagger.identity] if self._tagger else []
        return step_version(self.name, CODE, *models)

    def identity(self) -> str:
        """Return the identity of the model."""
        return self._tagger.identity.as_json() if self._tagger else ""

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row for each piece of sound."""
        return super().wanted(batches) if self._tagger else WANTED.empty_table()

    def load(self, work: Input) -> Any:
        """Decode a derivative into the model's input."""
        return self.inputs.load(self.store, work.payload, self._tagger)

    def compute(self, group: Sequence[Input], loaded: Sequence[Any]) -> Sequence[str]:
        """Name what is heard in a group, surest first; nothing is an empty text."""
        assert self._tagger is not None  # without a model nothing is wanted
        size = self._settings.encode_rows
        tags = chain.from_iterable(in_batches(self._tagger.tag_prepared, loaded, size))
        return [", ".join(name for name, _ in heard) for heard in tags]


CODE = (SoundTagStep.load, SoundTagStep.compute, Sounds.load)
"""The code that decides how sounds are named, beside the model."""

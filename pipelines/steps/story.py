"""What happens in a video: one text made of its keyframes' captions, in their order."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from pipelines.steps.caption import SOURCE as CAPTION
from pipelines.steps.describe import DescribeStep
from pipelines.steps.inputs import Films
from pipelines.steps.runner import Input
from pipelines.store import Store
from pipelines.tables.facts import quoted
from pipelines.versions import step_version

SOURCE = "story"
MOST_SCENES = 8
"""As many scenes as a text encoder still tells apart in one text."""


class StoryStep(DescribeStep):
    """Tell each video from its captions."""

    name = "storylines"
    source = SOURCE
    accelerated = False

    def __init__(self, store: Store):
        self.store = store
        self.inputs = Films(
            "texts",
            f"source = {quoted(CAPTION)} AND start_s IS NOT NULL AND text <> ''",
            "text_hash || '@' || CAST(start_s AS VARCHAR)",
            "text",
        )

    @property
    def version(self) -> str:
        """Version of the code."""
        return step_version(self.name, CODE)

    def identity(self) -> str:
        """Return that captions are what it is made of."""
        return "captions"

    def load(self, work: Input) -> Sequence[tuple[float, str]]:
        """Return the captions of a video with their times."""
        return work.payload["parts"]

    def compute(
        self, group: Sequence[Input], loaded: Sequence[Sequence[tuple[float, str]]]
    ) -> Sequence[str]:
        """Tell a group of videos."""
        return [*map(tell, loaded)]


def tell(captions: Sequence[tuple[float, str]]) -> str:
    """Join captions, given with their times in order, into one sentence of what follows what.

    Captions that repeat are one scene. Of more than `MOST_SCENES` scenes, as many equal spans of
    time are told, each by the caption that it shows most often.
    """
    scenes = _scenes(text for _, text in captions)
    if len(scenes) > MOST_SCENES:
        first, last = captions[0][0], captions[-1][0]
        length = (last - first) / MOST_SCENES
        spans: list[Counter[str]] = [Counter() for _ in range(MOST_SCENES)]
        for start, text in captions:
            spans[min(int((start - first) / length), MOST_SCENES - 1)][text] += 1
        scenes = _scenes(span.most_common(1)[0][0] for span in spans if span)
    plain = [scene.strip().rstrip(".") for scene in scenes]
    if len(plain) == 1:
        return f"{plain[0]}."
    return f"First {plain[0]}, " + ", ".join(f"then {scene}" for scene in plain[1:]) + "."


def _scenes(texts: Any) -> list[str]:
    return [text for text, _ in groupby(texts)]


CODE = (StoryStep.compute, tell, _scenes)
"""The code that decides what a story says."""

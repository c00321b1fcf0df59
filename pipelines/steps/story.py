"""What happens in a video: one text made of its keyframes' captions, in their order."""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from pipelines.steps.caption import SOURCE as CAPTION
from pipelines.steps.describe import DescribeStep
from pipelines.steps.inputs import COPIED, Clips, clean
from pipelines.steps.runner import WANTED, Input, within
from pipelines.store import Store
from pipelines.tables.facts import narrowed, quoted, select
from pipelines.versions import step_version

SOURCE = "story"
MOST_SCENES = 8
"""As many scenes as a text encoder still tells apart in one text."""

_CAPTIONS = f"source = {quoted(CAPTION)} AND start_s IS NOT NULL AND text <> ''"


class _Captions:
    """The captions of each video's keyframes."""

    def wanted(self, store: Store, version: str, batches: Collection[str] | None) -> pa.Table:
        """Return one row for each live video with captions (`WANTED`)."""
        captions = (
            "SELECT item_id, min(batch) AS batch, min(start_s) AS start_s, max(end_s) AS end_s,"
            " md5(string_agg(text_hash || '@' || CAST(start_s AS VARCHAR), ',' ORDER BY start_s))"
            f" AS said FROM texts WHERE {_CAPTIONS} AND {within(batches)} GROUP BY item_id"
        )
        return select(
            f"SELECT s.item_id || '#{Clips.segment}' AS key, s.item_id, s.batch,"
            f" '{version}-' || s.said AS recipe, {COPIED.format('s')}"
            f" FROM ({captions}) s JOIN items i ON s.item_id = i.item_id"
            f" WHERE NOT i.deleted AND {clean(store)} AND {within(batches, 'i.batch')}",
            WANTED,
            texts=store.texts,
            items=store.items,
        )

    def rows(self, store: Store, batch: str, keys: Collection[str]) -> list[dict[str, Any]]:
        """Return the videos of a batch with the given keys, with their captions in order."""
        items = {key.removesuffix(f"#{Clips.segment}") for key in keys}
        where = f"batch = {quoted(batch)} AND {_CAPTIONS} AND {narrowed('item_id', items)}"
        columns = ["item_id", "start_s", "end_s", "text"]
        ordered = sorted(
            store.texts.rows(columns, where), key=lambda row: (row["item_id"], row["start_s"])
        )
        return [
            {
                "key": f"{item}#{Clips.segment}",
                "item_id": item,
                "segment": Clips.segment,
                "page": None,
                "start_s": found[0]["start_s"],
                "end_s": found[-1]["end_s"],
                "captions": [(row["start_s"], row["text"]) for row in found],
            }
            for item, group in groupby(ordered, key=lambda row: row["item_id"])
            if item in items and (found := list(group))
        ]

    def load(self, store: Store, row: dict[str, Any], model: Any) -> list[tuple[float, str]]:
        """Return the captions with their times."""
        return row["captions"]


class StoryStep(DescribeStep):
    """Tell each video from its captions."""

    name = "storylines"
    source = SOURCE
    model = ""
    accelerated = False

    def __init__(self, store: Store):
        self.store = store
        self.inputs = _Captions()

    @property
    def version(self) -> str:  # type: ignore[override]
        """Version of the code."""
        return step_version(self.name, CODE)

    def identity(self) -> str:
        """Return that captions are what it is made of."""
        return "captions"

    def load(self, work: Input) -> Sequence[tuple[float, str]]:
        """Return the captions of a video with their times."""
        return work.payload["captions"]

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

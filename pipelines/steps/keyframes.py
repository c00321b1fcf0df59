"""Keyframes of videos, each redacted like a picture and kept with its span of seconds."""

from collections.abc import Collection

import pyarrow as pa

from pipelines.errors import BadInput
from pipelines.privacy.pii import Detector
from pipelines.progress import reporter
from pipelines.reading import video
from pipelines.reading.media import as_jpeg
from pipelines.reading.ocr import TesseractReader
from pipelines.reading.video import keyframes
from pipelines.recipes import digest
from pipelines.settings import Settings
from pipelines.steps.items import (
    STREAMS_TOGETHER,
    ItemRows,
    ItemStep,
    original,
    segment_row,
)
from pipelines.steps.redact import PICTURE_CODE, PictureRedactor
from pipelines.steps.runner import Input
from pipelines.store import Store


class KeyframeStep(ItemStep):
    """One item's keyframes. A keyframe's name is its time, so that other intervals share some."""

    name = "keyframes"
    together: int | None = STREAMS_TOGETHER
    reads = "kind = 'video'"
    parts = ("keyframe-",)
    sources = ("ocr",)

    def __init__(
        self, store: Store, reader: TesseractReader, detector: Detector, settings: Settings
    ):
        self.store = store
        self._settings = settings
        self._pictures = PictureRedactor(store, reader, detector, settings)
        self.bounds = digest(self._pictures.bounds, str(settings.max_seconds))[:16]

    @property
    def model(self) -> str:
        """Key of the engine that reads."""
        return self._pictures.model

    @property
    def version(self) -> str:
        """Version of code, engines and the choice of frames."""
        return self._pictures.version(
            self.name,
            CODE,
            every=self._settings.keyframe_s,
            mode=self._settings.keyframes,
            height=self._settings.keyframe_height,
        )

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row per live video."""
        return self._items(f"'{self.version}-' || content_hash", batches)

    def load(self, work: Input) -> ItemRows:
        """Find and redact the keyframes of one video; derivatives are stored on the way.

        Raises BadInput for what cannot be decoded and ResidualFinding for what cannot be redacted.
        """
        rows = ItemRows(media_s=work.payload["duration_s"] or 0.0)
        progress = reporter(f"{self.name} {work.batch}, seconds of one file")
        with original(work.payload) as file:
            for frame in keyframes(file, self._settings):
                span = (frame.start_s, frame.end_s)
                name = f"keyframe-{frame.start_s:010.3f}"
                self._pictures.add(
                    rows, segment_row(work, name, "keyframe", span=span), frame.image
                )
                progress(int(frame.end_s), int(max(rows.media_s, frame.end_s)))
        if not rows.segments:
            raise BadInput("it shows no picture")
        return rows


CODE = (KeyframeStep.load, video, as_jpeg, *PICTURE_CODE)
"""The code that decides which keyframes there are, and what becomes of them."""

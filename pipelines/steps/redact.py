"""Reading and redacting pictures, documents and text: what is downstream is made from this alone.

The bytes of an item are read here, its text is found by OCR, personal data is masked in text, word
boxes and pixels alike, and the result is checked again before any of it is stored.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
from PIL import Image

from pipelines.errors import residual_finding
from pipelines.privacy import redaction
from pipelines.privacy.pii import Detector, mask
from pipelines.privacy.redaction import redact_image
from pipelines.reading import media, passages
from pipelines.reading.media import as_jpeg, decode_pages, decode_text
from pipelines.reading.ocr import Page, TesseractReader, Word
from pipelines.reading.passages import split_text, split_words
from pipelines.recipes import digest
from pipelines.settings import Settings
from pipelines.steps.items import (
    ItemRows,
    ItemStep,
    finding_row,
    original,
    segment_row,
    text_row,
)
from pipelines.steps.runner import Input
from pipelines.store import Store
from pipelines.versions import step_version

_DERIVATIVE_QUALITY = 90
_THUMBNAIL_SIDE = 160
_THUMBNAIL_QUALITY = 75


class PictureRedactor:
    """Covers personal data in pictures and stores what is left: derivative, thumbnail, text."""

    def __init__(
        self, store: Store, reader: TesseractReader, detector: Detector, settings: Settings
    ):
        self._store = store
        self._reader = reader
        self._detector = detector
        self._side = settings.derivative_side
        self.bounds = digest(
            *map(str, (settings.max_pixels, settings.max_pages, settings.max_characters))
        )[:16]

    @property
    def model(self) -> str:
        """Key of the engine that reads."""
        return self._reader.identity.key

    def version(self, step: str, code: Sequence[Any], **how: str | float) -> str:
        """Return the version of a step that redacts pictures."""
        return step_version(
            step,
            code,
            self._detector.identity,
            self._reader.identity,
            side=self._side,
            quality=_DERIVATIVE_QUALITY,
            thumbnail=_THUMBNAIL_SIDE,
            **how,
        )

    def add(self, rows: ItemRows, segment: dict[str, Any], image: Image.Image) -> None:
        """Add the rows of one RGB picture. Raises ResidualFinding for what cannot be redacted."""
        redacted = redact_image(image, self._reader, self._detector)
        picture, size = as_jpeg(redacted.image, self._side, _DERIVATIVE_QUALITY)
        thumbnail, _ = as_jpeg(redacted.image, _THUMBNAIL_SIDE, _THUMBNAIL_QUALITY)
        scale = size[0] / image.width
        lines = Page(redacted.text, redacted.words, None).lines
        model = self._reader.identity.as_json()
        rows.segments.append(
            segment
            | {
                "derivative": self._store.blobs.put(picture, ".jpg"),
                "thumbnail": self._store.blobs.put(thumbnail, ".jpg"),
                "width": size[0],
                "height": size[1],
            }
        )
        rows.texts += [
            text_row(segment, "ocr", number, text, model)
            | {"confidence": confidence, "words": _boxes(words, scale)}
            for number, (text, confidence, words) in enumerate(split_words(lines))
        ]
        rows.findings += [
            finding_row(segment, "ocr", finding.entity, finding.score)
            | {"place": json.dumps([[round(n * scale) for n in box] for box in finding.boxes])}
            for finding in redacted.findings
        ]


class RedactStep(ItemStep):
    """Segments, redacted texts, findings, derivatives and thumbnails of what holds still."""

    name = "redacted_media"
    reads = "kind IN ('image', 'document', 'text')"
    parts = ("image", "page-", "body")
    sources = ("ocr", "body")

    def __init__(
        self, store: Store, reader: TesseractReader, detector: Detector, settings: Settings
    ):
        self.store = store
        self._detector = detector
        self._settings = settings
        self._pictures = PictureRedactor(store, reader, detector, settings)
        self.bounds = self._pictures.bounds

    @property
    def model(self) -> str:
        """Key of the engine that reads."""
        return self._pictures.model

    @property
    def version(self) -> str:
        """Version of what becomes of pictures and pages."""
        return self._pictures.version(self.name, CODE)

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row per live item; no reader takes part in text files."""
        words = step_version(self.name, CODE, self._detector.identity)
        version = f"CASE kind WHEN 'text' THEN '{words}' ELSE '{self.version}' END"
        recipe = f"{version} || '-' || content_hash || '.' || kind"
        return self._items(recipe, batches)

    def load(self, work: Input) -> ItemRows:
        """Read and redact one item; derivatives are stored on the way.

        Raises BadInput for what cannot be decoded and ResidualFinding for what cannot be redacted.
        """
        kind = work.payload["kind"]
        with original(work.payload) as file:
            data = file.read()
        rows = ItemRows()
        if kind == "text":
            self._read_body(work, data, rows)
            return rows
        for page in decode_pages(data, kind, self._settings):
            segment = segment_row(
                work, page.segment, "page" if page.page else "image", page=page.page
            )
            self._pictures.add(rows, segment, page.image)
        return rows

    def _read_body(self, work: Input, data: bytes, rows: ItemRows) -> None:
        """Add the one segment of a text file, its passages masked."""
        text = decode_text(data, self._settings)
        found = self._detector.find(text)
        masked = mask(text, found)
        if left := self._detector.find(masked):
            raise residual_finding(finding.entity for finding in left)
        segment = segment_row(work, "body", "text")
        rows.segments.append(segment)
        rows.texts += [
            text_row(segment, "body", number, passage, "text")
            for number, passage in enumerate(split_text(masked))
        ]
        rows.findings += [
            finding_row(segment, "body", finding.entity, finding.score)
            | {"place": json.dumps({"start": finding.start, "end": finding.end})}
            for finding in found
        ]


def _boxes(words: Sequence[Word], scale: float) -> str:
    """Return JSON of [text, left, top, width, height, confidence], in pixels of the derivative."""
    return json.dumps(
        [
            [word.text, *(round(n * scale) for n in word.box), round(word.confidence, 3)]
            for word in words
        ],
        ensure_ascii=False,
    )


PICTURE_CODE = (
    PictureRedactor.add,
    segment_row,
    text_row,
    finding_row,
    _boxes,
    passages,
    redaction,
)
"""The code that decides what becomes of a picture; the models have identities of their own."""

CODE = (RedactStep.load, RedactStep._read_body, media, *PICTURE_CODE)
"""The code that decides what is redacted and how."""

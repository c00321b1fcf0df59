"""Reading and redacting: everything downstream is made from what this step writes, and only that.

The bytes of an item are read here, its text is found by OCR, personal data is masked in text, word
boxes and pixels alike, and the result is checked again before any of it is stored.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipelines.attributes import live
from pipelines.catalog.sources import locate
from pipelines.errors import MediadexError, ResidualFinding
from pipelines.privacy import redaction
from pipelines.privacy.pii import Detector, mask
from pipelines.privacy.redaction import redact_image
from pipelines.reading import media, passages
from pipelines.reading.media import NotMedia, as_jpeg, decode_pages, decode_text
from pipelines.reading.ocr import Page, TesseractReader, Word
from pipelines.reading.passages import split_text, split_words
from pipelines.recipes import digest
from pipelines.settings import Settings
from pipelines.steps.runner import EXISTING, WANTED, Input, within
from pipelines.store import Store
from pipelines.tables.facts import equals_any, narrowed, quoted, select
from pipelines.versions import step_version

_SOURCES = ("ocr", "body")
_DERIVATIVE_QUALITY = 90
_THUMBNAIL_SIDE = 160
_THUMBNAIL_QUALITY = 75


class RedactStep:
    """One item's segments, redacted texts, findings, derivatives and thumbnails."""

    name = "redacted_media"
    # Reading by OCR is the work itself here: the next group must not start before this is safe.
    loads_ahead = False
    accelerated = False

    def __init__(
        self, store: Store, reader: TesseractReader, detector: Detector, settings: Settings
    ):
        self.store = store
        self._reader = reader
        self._detector = detector
        self._settings = settings
        limits = (settings.max_pixels, settings.max_pages, settings.max_characters)
        self.bounds = digest(*map(str, limits))[:16]

    @property
    def model(self) -> str:
        """Key of the engine that reads."""
        return self._reader.identity.key

    def state(self) -> None:
        """Nothing: its rows are in Delta tables."""

    @property
    def version(self) -> str:
        """Version of what becomes of pictures and pages."""
        return step_version(
            self.name,
            CODE,
            self._detector.identity,
            self._reader.identity,
            side=self._settings.derivative_side,
            quality=_DERIVATIVE_QUALITY,
            thumbnail=_THUMBNAIL_SIDE,
        )

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return one row per live item; no reader takes part in text files."""
        words = step_version(self.name, CODE, self._detector.identity)
        return select(
            "SELECT item_id AS key, item_id, batch, '' AS attributes_hash,"
            f" CASE kind WHEN 'text' THEN '{words}' ELSE '{self.version}' END"
            " || '-' || content_hash || '.' || kind AS recipe"
            f" FROM items WHERE NOT deleted AND {within(batches)}",
            WANTED,
            items=self.store.items,
        )

    def existing(self, batches: Collection[str] | None) -> pa.Table:
        """Return the recipes of the items that have segments."""
        # All segments of an item are written together, so that any of them tells.
        return select(
            "SELECT item_id AS key, min(batch) AS batch, min(recipe) AS recipe,"
            " '' AS attributes_hash"
            f" FROM segments WHERE {within(batches)} GROUP BY item_id",
            EXISTING,
            segments=self.store.segments,
        )

    def fetch(self, batch: str, rows: Mapping[str, str]) -> dict[str, Any]:
        """Return kind, origins and content hash of items."""
        columns = ["item_id", "kind", "content_hash", "origins"]
        where = f"{live(batch)} AND {narrowed('item_id', rows)}"
        items = self.store.items.rows(columns, where)
        return {item["item_id"]: item for item in items if item["item_id"] in rows}

    def load(self, work: Input) -> dict[str, list[dict[str, Any]]]:
        """Read and redact one item; returns its rows by table. Derivatives are stored on the way.

        Raises BadInput for what cannot be decoded and ResidualFinding for what cannot be redacted.
        """
        kind = work.payload["kind"]
        if kind not in {"image", "document", "text"}:
            raise NotMedia(f"{kind} is registered, but nothing reads it yet")
        data = _read(work.payload)
        rows: dict[str, list[dict[str, Any]]] = {"segments": [], "texts": [], "findings": []}
        pages = self._body(work, data) if kind == "text" else self._pages(work, data, kind)
        for segment, texts, findings in pages:
            rows["segments"].append(segment)
            rows["texts"] += texts
            rows["findings"] += findings
        return rows

    def compute(self, group: Sequence[Input], loaded: Sequence[Any]) -> Sequence[Any]:
        """Pass on what loading made."""
        return loaded

    def commit(self, group: Sequence[Input], results: Sequence[dict[str, Any]]) -> None:
        """Write a group, segments last: an item with segments is one whose rows are complete."""
        where = f"batch = {quoted(group[0].batch)} AND " + equals_any(
            "item_id", [work.item_id for work in group]
        )
        read = f"{where} AND {equals_any('source', _SOURCES)}"
        self.store.findings.replace(read, [row for rows in results for row in rows["findings"]])
        self.store.texts.replace(read, [row for rows in results for row in rows["texts"]])
        self.store.segments.replace(where, [row for rows in results for row in rows["segments"]])

    def refresh(self, unchanged: Sequence[Input]) -> None:
        """Nothing is copied along here."""

    def remove(self, keys: Sequence[str]) -> None:
        """Delete what an item left, downstream rows follow as their inputs are gone."""
        items = equals_any("item_id", keys)
        read = f"{items} AND {equals_any('source', _SOURCES)}"
        self.store.segments.replace(items, [])
        self.store.texts.replace(read, [])
        self.store.findings.replace(read, [])

    def _pages(
        self, work: Input, data: bytes, kind: str
    ) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]]:
        """Yield segment, texts and findings of each page of an image or document."""
        for page in decode_pages(data, kind, self._settings):
            redacted = redact_image(page.image, self._reader, self._detector)
            picture, size = as_jpeg(
                redacted.image, self._settings.derivative_side, _DERIVATIVE_QUALITY
            )
            thumbnail, _ = as_jpeg(redacted.image, _THUMBNAIL_SIDE, _THUMBNAIL_QUALITY)
            scale = size[0] / page.image.width
            lines = Page(redacted.text, redacted.words, None).lines
            segment = self._segment(
                work, page.segment, "page" if page.page else "image", page.page
            ) | {
                "derivative": self.store.blobs.put(picture, ".jpg"),
                "thumbnail": self.store.blobs.put(thumbnail, ".jpg"),
                "width": size[0],
                "height": size[1],
            }
            texts = [
                self._text(work, page.segment, "ocr", number, text, page.page)
                | {"confidence": confidence, "words": _boxes(words, scale)}
                for number, (text, confidence, words) in enumerate(split_words(lines))
            ]
            findings = [
                self._finding(work, page.segment, "ocr", finding.entity, finding.score)
                | {"place": json.dumps([[round(n * scale) for n in box] for box in finding.boxes])}
                for finding in redacted.findings
            ]
            yield segment, texts, findings

    def _body(
        self, work: Input, data: bytes
    ) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]]:
        """Yield the one segment of a text file, its passages masked."""
        text = decode_text(data, self._settings)
        found = self._detector.find(text)
        masked = mask(text, found)
        if left := self._detector.find(masked):
            kinds = ", ".join(sorted({finding.entity for finding in left}))
            raise ResidualFinding(f"still found after masking: {kinds}")
        texts = [
            self._text(work, "body", "body", number, passage, None)
            for number, passage in enumerate(split_text(masked))
        ]
        findings = [
            self._finding(work, "body", "body", finding.entity, finding.score)
            | {"place": json.dumps({"start": finding.start, "end": finding.end})}
            for finding in found
        ]
        yield self._segment(work, "body", "text", None), texts, findings

    @staticmethod
    def _segment(work: Input, name: str, kind: str, page: int | None) -> dict[str, Any]:
        return {
            "key": f"{work.item_id}#{name}",
            "item_id": work.item_id,
            "batch": work.batch,
            "segment": name,
            "kind": kind,
            "page": page,
            "recipe": work.recipe,
        }

    def _text(
        self, work: Input, segment: str, source: str, number: int, text: str, page: int | None
    ) -> dict[str, Any]:
        return {
            "key": f"{work.item_id}#{segment}@{source}-{number:03d}",
            "item_id": work.item_id,
            "batch": work.batch,
            "segment": segment,
            "source": source,
            "text": text,
            "text_hash": digest(text),
            "page": page,
            "model": self._reader.identity.as_json() if source == "ocr" else "text",
            "recipe": work.recipe,
        }

    @staticmethod
    def _finding(
        work: Input, segment: str, source: str, entity: str, score: float
    ) -> dict[str, Any]:
        return {
            "item_id": work.item_id,
            "batch": work.batch,
            "segment": segment,
            "source": source,
            "entity": entity,
            "score": score,
            "recipe": work.recipe,
        }


def _read(item: dict[str, Any]) -> bytes:
    """Read an item's bytes from the first of its origins that still holds them."""
    for origin in item["origins"]:
        files, path = locate(origin["uri"])
        if files.exists(path):
            data = files.cat_file(path)
            if digest(data) == item["content_hash"]:
                return data
    raise MediadexError("its file is gone or changed since it was registered; index it again")


def _boxes(words: Sequence[Word], scale: float) -> str:
    """Return JSON of [text, left, top, width, height, confidence], in pixels of the derivative."""
    return json.dumps(
        [
            [word.text, *(round(n * scale) for n in word.box), round(word.confidence, 3)]
            for word in words
        ],
        ensure_ascii=False,
    )


CODE = (
    RedactStep.load,
    RedactStep._pages,
    RedactStep._body,
    RedactStep._segment,
    RedactStep._text,
    RedactStep._finding,
    _boxes,
    media,
    passages,
    redaction,
)
"""The code that decides what is redacted and how; the models have identities of their own."""

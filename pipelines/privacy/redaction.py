"""Covering private data in images: one set of findings drives the text, the words and the pixels.

What was covered is read again, and an image that still shows something is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image, ImageDraw

from pipelines.errors import residual_finding
from pipelines.privacy.pii import Finding
from pipelines.reading.ocr import Box, Page, Word

_FURTHER = 2  # readings that may still add to what is covered


class _Reader(Protocol):
    def read(self, image: Image.Image, height: float | None = None) -> Page: ...


class _Detector(Protocol):
    def find(self, text: str) -> list[Finding]: ...


@dataclass(frozen=True)
class PlacedFinding:
    """A finding and what covers it: one box (left, top, width, height), in pixels, per line."""

    entity: str
    score: float
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Redacted:
    """An image with its findings filled black, RGB without metadata, and what may be stored of it.

    `text` and `words` hold the legible words and, for each line of a finding, one mask such as
    `<PERSON>` in its place.
    """

    image: Image.Image
    text: str
    words: tuple[Word, ...]
    findings: tuple[PlacedFinding, ...]


def redact_page(image: Image.Image, page: Page, detector: _Detector) -> Redacted:
    """Cover all that is found in what was read of an image.

    Raises ResidualFinding for a finding without a place in the image.
    """
    # First with every word, then again where leaving out junk has brought words together.
    page, placed = _masked(page, detector, image.size)
    page, more = _masked(page.legible(), detector, image.size)
    placed += more
    return Redacted(_painted(image, placed), page.text, page.words, tuple(placed))


def verify(redacted: Redacted, reader: _Reader, detector: _Detector) -> None:
    """Raise ResidualFinding if private data is left in the text or, read again, in the pixels."""
    left: list[Finding | PlacedFinding] = [*detector.find(redacted.text)]
    if redacted.findings:
        left += _again(redacted, reader, detector).findings
    if left:
        raise residual_finding(f.entity for f in left)


def redact_image(image: Image.Image, reader: _Reader, detector: _Detector) -> Redacted:
    """Read an upright image and cover what is found, also what only a further reading finds.

    Raises ResidualFinding when readings go on finding something.
    """
    page = reader.read(image)
    redacted = redact_page(image, page, detector)
    if not redacted.findings:
        return redacted
    for _ in range(_FURTHER):
        again = _again(redacted, reader, detector, page.height)
        if not again.findings:
            return redacted
        redacted = _joined(redacted, again, detector)
    verify(redacted, reader, detector)
    return redacted


def _again(
    redacted: Redacted, reader: _Reader, detector: _Detector, height: float | None = None
) -> Redacted:
    return redact_page(redacted.image, reader.read(redacted.image, height), detector)


def _joined(redacted: Redacted, again: Redacted, detector: _Detector) -> Redacted:
    """Carry what a further reading covered over to the text of the first."""
    covers = [(f.entity, box) for f in again.findings for box in f.boxes]

    def masked(word: Word) -> Word:
        entity = next((entity for entity, box in covers if _lies_in(word.box, box)), None)
        return word if entity is None else Word(f"<{entity}>", 1.0, word.box, word.start)

    page = Page(redacted.text, redacted.words, None)
    page = Page.of_lines([[masked(word) for word in line] for line in page.lines])
    page, more = _masked(page, detector, again.image.size)
    findings = (*redacted.findings, *again.findings, *more)
    return Redacted(_painted(again.image, more), page.text, page.words, findings)


def _masked(
    page: Page, detector: _Detector, size: tuple[int, int]
) -> tuple[Page, list[PlacedFinding]]:
    """Replace the words of all findings by masks until nothing is found any more."""
    placed: list[PlacedFinding] = []
    while findings := detector.find(page.text):
        text = page.text
        page, new = _cover(page, findings, size)
        placed += new
        if page.text == text:
            raise residual_finding(f.entity for f in findings)
    return page, placed


def _cover(
    page: Page, findings: Sequence[Finding], size: tuple[int, int]
) -> tuple[Page, list[PlacedFinding]]:
    """Put one mask, and one box with the gaps between words, per finding and line."""
    boxes: dict[Finding, list[Box]] = {finding: [] for finding in findings}
    lines: list[list[Word]] = []
    for line in page.lines:
        runs: list[tuple[list[Finding], list[Word]]] = []
        for word in line:
            hits = [f for f in findings if f.start < word.end and word.start < f.end]
            if runs and any(hit in runs[-1][0] for hit in hits):
                runs[-1][0].extend(hits)
                runs[-1][1].append(word)
            else:
                runs.append((hits, [word]))
        lines.append([])
        for hits, words in runs:
            if hits:
                box = _around([w.box for w in words], size)
                words = [Word(f"<{hits[0].entity}>", 1.0, box, 0)]
                for hit in dict.fromkeys(hits):
                    boxes[hit].append(box)
            lines[-1] += words
    if lost := [f for f, placed in boxes.items() if not placed or not all(map(_area, placed))]:
        raise residual_finding(f.entity for f in lost)
    placed = [PlacedFinding(f.entity, f.score, tuple(boxes[f])) for f in findings]
    return Page.of_lines(lines, page.min_confidence), placed


def _painted(image: Image.Image, findings: Iterable[PlacedFinding]) -> Image.Image:
    """Return a copy in RGB, without metadata, with all boxes filled."""
    clean = Image.new("RGB", image.size)  # unlike a copy, it carries no EXIF, comment or profile
    clean.paste(image.convert("RGB"))
    draw = ImageDraw.Draw(clean)
    for left, top, width, height in (box for finding in findings for box in finding.boxes):
        draw.rectangle((left, top, left + width - 1, top + height - 1), fill="black")
    return clean


def _around(boxes: Sequence[Box], size: tuple[int, int]) -> Box:
    """Return what spans the boxes and a margin, within the image; empty if one of them is."""
    if not all(map(_area, boxes)):
        return (0, 0, 0, 0)
    margin = max(2, round(0.15 * max(height for _, _, _, height in boxes)))
    left = max(0, min(box[0] for box in boxes) - margin)
    top = max(0, min(box[1] for box in boxes) - margin)
    right = min(size[0], max(box[0] + box[2] for box in boxes) + margin)
    bottom = min(size[1], max(box[1] + box[3] for box in boxes) + margin)
    return (left, top, max(0, right - left), max(0, bottom - top))


def _area(box: Box) -> int:
    return box[2] * box[3]


def _lies_in(inner: Box, outer: Box) -> bool:
    """Whether at least half of one box lies in another."""
    wide = min(inner[0] + inner[2], outer[0] + outer[2]) - max(inner[0], outer[0])
    high = min(inner[1] + inner[3], outer[1] + outer[3]) - max(inner[1], outer[1])
    return wide > 0 and high > 0 and 2 * wide * high >= _area(inner)

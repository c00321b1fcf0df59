"""Reading text in images with Tesseract: words, how sure the reader is of them, and where they are.

A cheap first pass settles whether the image bears text at all; only then is it read in full.
"""

import hashlib
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageFilter, ImageOps

from pipelines.errors import BadInput, MediadexError
from pipelines.models.protocols import Identity
from pipelines.versions import code_version

Box = tuple[int, int, int, int]

_MARGIN = 20  # white border in pixels: letters touching the edge are misread
_SIDE = 2600  # longest side in pixels of the first pass
_HEIGHT = 30  # height in pixels to which the words of a document are scaled
_DOCUMENT = 8  # sure words in the first pass from which an image counts as a document
_SURE = 0.6


@dataclass(frozen=True)
class Word:
    """One word: `confidence` 0..1, `box` (left, top, width, height) in pixels of the image read.

    `start` is its offset in the text of its page.
    """

    text: str
    confidence: float
    box: Box
    start: int

    @property
    def end(self) -> int:
        """Offset in the page's text after the last character."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class Page:
    """What was read in one image, junk included, since private data badly read is still private.

    `confidence` is the mean over the words, None without any. Words below `min_confidence` serve
    redaction only; `legible` leaves them out. `height` is the median of the words' heights in
    pixels where the image is a document, None elsewhere.
    """

    text: str
    words: tuple[Word, ...]
    confidence: float | None
    min_confidence: float = 0.0
    height: float | None = None

    @classmethod
    def of_lines(cls, lines: Iterable[Iterable[Word]], min_confidence: float = 0.0) -> "Page":
        """Lay out words (their `start` is ignored): blanks within lines, line breaks between."""
        text, words = "", []
        for line in lines:
            for i, word in enumerate(line):
                text += " " if i else "\n" if text else ""
                words.append(Word(word.text, word.confidence, word.box, len(text)))
                text += word.text
        confidence = statistics.fmean(w.confidence for w in words) if words else None
        return cls(text, tuple(words), confidence, min_confidence)

    @property
    def lines(self) -> list[list[Word]]:
        """The words by line, from top to bottom."""
        lines: list[list[Word]] = []
        for word in self.words:
            if not lines or self.text[word.start - 1] == "\n":
                lines.append([])
            lines[-1].append(word)
        return lines

    def legible(self) -> "Page":
        """Return the page without the words below `min_confidence`."""
        kept = ([w for w in line if w.confidence >= self.min_confidence] for line in self.lines)
        return Page.of_lines((line for line in kept if line), self.min_confidence)


class TesseractReader:
    """Reads upright images (EXIF orientation applied). Safe to use from several threads at once."""

    def __init__(
        self, languages: str = "eng", min_confidence: float = 0.4, timeout: float = 60.0
    ) -> None:
        self.languages = languages
        self.min_confidence = min_confidence
        self.timeout = timeout

    @cached_property
    def identity(self) -> Identity:
        """The installed Tesseract and its trained data. Raises MediadexError without them."""
        installed = _tesseract("--list-langs")
        found = re.search(r'"(.+)"', installed)
        folder = Path(found[1] if found else "")
        digest = hashlib.sha256()
        for language in self.languages.split("+"):
            trained = folder / f"{language}.traineddata"
            if not trained.is_file():
                raise MediadexError(
                    f"Tesseract has no trained data for {language!r}: "
                    f"install tesseract-ocr-{language} or choose another language"
                )
            digest.update(trained.read_bytes())
        return Identity(
            name="tesseract",
            revision=f"{_tesseract('--version').split()[1]}+{code_version('reader', CODE)}",
            weights=digest.hexdigest(),
            preprocessing=(
                f"{self.languages}; grey, full contrast; psm 4 at 2x (side at most {_SIDE}); from"
                f" {_DOCUMENT} sure words also psm 6 and 11 at {_HEIGHT} px a word, blurred,"
                f" surest word wins; min_confidence {self.min_confidence}"
            ),
            dimension=0,
            dtype="",
        )

    def read(self, image: Image.Image, height: float | None = None) -> Page:
        """Return the page of an image; a known `height` of its words spares the first pass.

        Raises BadInput when Tesseract fails or takes too long.
        """
        grey = ImageOps.autocontrast(image.convert("L"))
        side = max(grey.size)
        words: list[_Read] = []
        if height is None:
            words = self._pass(grey, min(2.0, _SIDE / side), psm=4)
            sure = [w for w in words if w.confidence > _SURE and sum(map(str.isalnum, w.text)) > 1]
            if len(sure) >= _DOCUMENT:
                height = statistics.median(w.height for w in sure)
        if height is not None:
            scale = min(max(_HEIGHT / height, 0.5), 4.0, 2 * _SIDE / side)
            soft = ImageFilter.GaussianBlur(1)
            words += self._pass(grey, scale, psm=6, soften=soft)
            words += self._pass(grey, scale, psm=11, soften=soft)
        page = Page.of_lines(_lines(_surest(words)), self.min_confidence)
        return replace(page, height=height)

    def _pass(
        self,
        grey: Image.Image,
        scale: float,
        psm: int,
        soften: ImageFilter.Filter | None = None,
    ) -> "list[_Read]":
        """Read once at `scale`; the words come back in pixels of `grey`."""
        import pytesseract

        # One thread each: the callers run several readers, and OpenMP only slows Tesseract down.
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
        scaled = grey.resize(size, Image.Resampling.LANCZOS)
        scaled = ImageOps.expand(scaled.filter(soften) if soften else scaled, _MARGIN, fill=255)
        try:
            data = pytesseract.image_to_data(
                scaled,
                lang=self.languages,
                config=f"--psm {psm}",
                timeout=self.timeout,
                output_type=pytesseract.Output.DICT,
            )
        except pytesseract.TesseractNotFoundError as error:
            raise _missing() from error
        except pytesseract.TesseractError as error:
            raise BadInput(f"Tesseract cannot read the image (status {error.status})") from None
        except RuntimeError:
            raise BadInput(f"Tesseract took longer than {self.timeout:g} s") from None
        fields = ("text", "conf", "left", "top", "width", "height")
        return [
            _Read(
                text.strip(),
                float(confidence) / 100,
                (left - _MARGIN) / scale,
                (top - _MARGIN) / scale,
                width / scale,
                height / scale,
            )
            for text, confidence, left, top, width, height in zip(
                *(data[field] for field in fields), strict=True
            )
            if any(map(str.isalnum, text))
        ]


class _Read(NamedTuple):
    """A word of one pass, in fractions of the image's pixels."""

    text: str
    confidence: float
    left: float
    top: float
    width: float
    height: float

    def overlap(self, other: "_Read") -> float:
        """Share of the smaller of both boxes that the other covers."""
        wide = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        high = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        smaller = min(self.width * self.height, other.width * other.height)
        return wide * high / smaller if wide > 0 and high > 0 and smaller else 0.0

    def abreast(self, other: "_Read") -> float:
        """Share of the lower of both boxes that lies at the height of the other."""
        high = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return high / max(min(self.height, other.height), 1e-6)


def _surest(words: list[_Read]) -> list[_Read]:
    """Of words read at the same place by several passes, keep the surest."""
    kept: list[_Read] = []
    for word in sorted(words, key=lambda w: -w.confidence):
        if all(word.overlap(other) < 0.3 for other in kept):
            kept.append(word)
    return kept


def _lines(words: list[_Read]) -> list[list[Word]]:
    """Arrange words in lines by place alone, following lines that rise or fall a little."""
    lines: list[list[_Read]] = []
    for word in sorted(words, key=lambda w: w.left):
        best = max(lines, key=lambda line: line[-1].abreast(word), default=None)
        if best and best[-1].abreast(word) > 0.5:
            best.append(word)
        else:
            lines.append([word])
    lines.sort(key=lambda line: statistics.fmean(w.top + w.height / 2 for w in line))
    return [[_word(w) for w in line] for line in lines]


def _word(read: _Read) -> Word:
    left, top = max(0, int(read.left)), max(0, int(read.top))
    right, bottom = round(read.left + read.width + 0.5), round(read.top + read.height + 0.5)
    return Word(read.text, max(0.0, read.confidence), (left, top, right - left, bottom - top), 0)


def _tesseract(option: str) -> str:
    try:
        ran = subprocess.run(["tesseract", option], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise _missing() from error
    return ran.stdout or ran.stderr


def _missing() -> MediadexError:
    return MediadexError(
        "The tesseract program is not installed: run `make setup`, or install tesseract-ocr"
    )


CODE = (sys.modules[__name__],)
"""The code that decides what is read, beside Tesseract."""

"""Cutting passages into what can be quoted: sentences of prose, lines of lists and receipts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from pipelines.answering.passages import Passage
from pipelines.search.words import terms

_MOST_CHARACTERS = 400
_PROSE = 60  # characters of a line that was broken for its length
_LABEL = 40  # characters of a line that names what the next one holds

_DIGIT = re.compile(r"\d")
_LINE = re.compile(r"[^\n]+")
_ITEM = re.compile(r"\s*(?:[-*•|#=]|\d{1,2}[.)]\s)")
_END = re.compile(r"[.!?][\"'”’)\]]*(?=\s)|[。！？]")
_SHORTENED = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|nr|vs|etc|e\.g|i\.e|co|inc|ltd|bhd|sdn|tel|approx)|\b\w|^\s*\d{1,2})$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Quote:
    """A part of a passage, by the places of its first character and after its last one."""

    passage: Passage
    start: int
    end: int

    @property
    def text(self) -> str:
        """What stands there, on one line."""
        return " ".join(self.passage.text[self.start : self.end].split())

    def overlaps(self, other: "Quote") -> bool:
        """Whether both hold a character of the same passage."""
        return self.passage == other.passage and self.start < other.end and other.start < self.end

    def holds(self, other: "Quote") -> bool:
        """Whether another one lies within this one, and this one is longer."""
        inside = self.start <= other.start and other.end <= self.end
        longer = self.end - self.start > other.end - other.start
        return self.passage == other.passage and inside and longer


def quotes_in(passage: Passage) -> Iterator[Quote]:
    """Cut a passage into quotes of at most 400 characters, in their order.

    Lines that were broken for their length are joined. Of what was read in pixels, a line without
    digits is also offered with the next one: in a form, one names what the other holds.
    """
    lines = list(_blocks(passage.text))
    for start, end in lines:
        yield from (Quote(passage, *span) for span in _sentences(passage.text, start, end))
    if passage.source == "ocr":
        for (start, end), (begin, until) in pairwise(lines):
            label, value = passage.text[start:end], passage.text[begin:until]
            short = len(label) <= _LABEL and len(value) <= _LABEL
            if short and not _DIGIT.search(label) and terms(label) and terms(value):
                yield Quote(passage, start, until)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Join lines that go on in the next one: first and last place of each block."""
    start = end = 0
    for line in _LINE.finditer(text):
        if not line[0].strip():
            continue
        if start < end and not _goes_on(text[start:end], line[0], text[end : line.start()]):
            yield start, end
            start = line.start()
        elif start == end:
            start = line.start()
        end = line.end()
    if start < end:
        yield start, end


def _goes_on(before: str, line: str, between: str) -> bool:
    if between.count("\n") > 1 or _ITEM.match(line):
        return False
    last = before.rsplit("\n", 1)[-1].rstrip()
    if line.lstrip()[:1].islower():
        return len(last) >= _PROSE // 2
    return len(last) >= _PROSE and last[-1] not in ".!?:"


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for mark in _END.finditer(text, start, end):
        if _SHORTENED.search(text[at : mark.start()]) or text[mark.end() :].lstrip()[:1].islower():
            continue
        yield from _bounded(text, at, mark.end())
        at = mark.end()
    yield from _bounded(text, at, end)


def _bounded(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut what is too long between words."""
    while start < end:
        while start < end and text[start].isspace():
            start += 1
        until = end
        if end - start > _MOST_CHARACTERS:
            until = text.rfind(" ", start, start + _MOST_CHARACTERS)
            until = until if until > start else start + _MOST_CHARACTERS
        if text[start:until].strip():
            yield start, until
        start = until

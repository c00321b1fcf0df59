"""Cutting text into passages short enough to embed and to cite."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from pipelines.models.protocols import SpokenWord
from pipelines.reading.ocr import Word

PASSAGE_WORDS = 120

SPEECH_WORDS = 30
SHARED_WORDS = 10
SPEECH_S = 30.0
BREAK_S = 5.0
_SLACK = 6  # words that a cut may move by to fall into a pause


def split_words(
    lines: Sequence[Sequence[Word]],
) -> Iterator[tuple[str, float, list[Word]]]:
    """Cut a page's lines into passages of whole lines: text, mean confidence (0..1), words."""
    words: list[Word] = []
    texts: list[str] = []
    for line in lines:
        if words and len(words) + len(line) > PASSAGE_WORDS:
            yield _passage(words, texts)
            words, texts = [], []
        words.extend(line)
        texts.append(" ".join(word.text for word in line))
    if words:
        yield _passage(words, texts)


def _passage(words: list[Word], texts: list[str]) -> tuple[str, float, list[Word]]:
    confidence = sum(word.confidence for word in words) / len(words)
    return "\n".join(texts), confidence, words


def split_text(text: str) -> Iterator[str]:
    """Cut a text into passages of whole lines, at blank or unindented ones; none is blank."""
    lines: list[str] = []
    count = 0
    for line in text.splitlines():
        words = len(line.split())
        if count and count + words > PASSAGE_WORDS:
            yield "\n".join(lines).strip()
            lines, count = [], 0
        lines.append(line)
        count += words
    if count:
        yield "\n".join(lines).strip()


def split_speech(
    words: Sequence[SpokenWord],
) -> Iterator[tuple[str, float, float, float | None, list[SpokenWord]]]:
    """Cut a transcript into windows: text, start and end (s), mean confidence if known, words.

    A window holds about `SPEECH_WORDS` words in at most `SPEECH_S` seconds and shares about
    `SHARED_WORDS` with the next; cuts move to the longest pause near by. After a pause of `BREAK_S`
    something else is spoken of: no window reaches across it. A phrase is never cut: a longer one is
    a window by itself.
    """
    breaks = [at for at in range(1, len(words)) if _pause(words, at) >= BREAK_S]
    for start, end in pairwise([0, *breaks, len(words)]):
        yield from _windows(words[start:end])


def _windows(
    words: Sequence[SpokenWord],
) -> Iterator[tuple[str, float, float, float | None, list[SpokenWord]]]:
    sizes = [len(word.text.split()) for word in words]
    start = end = 0
    while end < len(words):
        reach, end = end, _window_end(words, sizes, start)
        if end <= reach:  # what is shared leaves no room for more
            start, end = reach, _window_end(words, sizes, reach)
        yield _spoken(list(words[start:end]))
        start = _next_start(words, sizes, start, end)


def _window_end(words: Sequence[SpokenWord], sizes: Sequence[int], start: int) -> int:
    """Return the word before which a window ends that begins at `start`."""
    end, count, ends = start + 1, sizes[start], {}
    while end < len(words) and words[end].end_s - words[start].start_s <= SPEECH_S:
        if count >= SPEECH_WORDS - _SLACK:
            ends[end] = abs(count - SPEECH_WORDS)
        if count + sizes[end] > SPEECH_WORDS + _SLACK:
            return max(ends, key=lambda at: (_pause(words, at), -ends[at]), default=end)
        count += sizes[end]
        end += 1
    return end


def _next_start(words: Sequence[SpokenWord], sizes: Sequence[int], start: int, end: int) -> int:
    """Return the word with which the window after [start, end) begins."""
    most = min(SHARED_WORDS + _SLACK, sum(sizes[start:end]) // 2)
    count, starts = 0, {}
    for at in range(end - 1, start, -1):
        count += sizes[at]
        if SHARED_WORDS - _SLACK <= count <= most:
            starts[at] = abs(count - SHARED_WORDS)
    return max(starts, key=lambda at: (_pause(words, at), -starts[at]), default=end)


def _pause(words: Sequence[SpokenWord], at: int) -> float:
    """How long nobody speaks before a word, to a tenth of a second."""
    return round(max(0.0, words[at].start_s - words[at - 1].end_s), 1)


def _spoken(
    words: list[SpokenWord],
) -> tuple[str, float, float, float | None, list[SpokenWord]]:
    known = [word.confidence for word in words if word.confidence is not None]
    confidence = sum(known) / len(known) if known else None
    end_s = max(word.end_s for word in words)
    return " ".join(word.text for word in words), words[0].start_s, end_s, confidence, words

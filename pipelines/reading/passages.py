"""Cutting text into passages short enough to embed and to cite."""

from collections.abc import Iterator, Sequence

from pipelines.reading.ocr import Word

PASSAGE_WORDS = 120


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

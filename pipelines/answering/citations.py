"""What a sentence rests on: quotes from passages, which are checked before anything is shown."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.answering.passages import Passage
from pipelines.search.answers import link


@dataclass(frozen=True)
class Citation:
    """Words of a passage; line breaks do not count."""

    passage: Passage
    quote: str

    @property
    def holds(self) -> bool:
        """Whether the quote stands in its passage, word by word."""
        return bool(self.quote.strip()) and _one_line(self.quote) in _one_line(self.passage.text)

    def as_document(self, number: int) -> dict[str, Any]:
        """Write it as applications get it; `link` leads to the page or the moment, if any."""
        passage = self.passage
        place = {name: getattr(passage, name) for name in ("segment", "page", "start_s", "end_s")}
        return {
            "number": number,
            "item_id": passage.item_id,
            "uri": passage.uri,
            "title": passage.title,
            "kind": passage.kind,
            "source": passage.source,
            "quote": self.quote,
            **place,
            "link": link(passage.uri, **place) or passage.uri,
        }


@dataclass(frozen=True)
class Sentence:
    """A sentence of an answer, and what it rests on."""

    text: str
    citations: tuple[Citation, ...]


def verified(sentences: Sequence[Sentence], shown: Collection[str]) -> list[Sentence]:
    """Return the sentences that rest on something: on quotes that hold, of items that are shown."""
    kept = []
    for sentence in sentences:
        held = tuple(
            each for each in sentence.citations if each.passage.item_id in shown and each.holds
        )
        if held:
            kept.append(Sentence(sentence.text, held))
    return kept


def numbered(sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Write sentences with the numbers of their citations, and these in the order of first use."""
    numbers: dict[Citation, int] = {}
    told = []
    for sentence in sentences:
        cited = [numbers.setdefault(each, len(numbers) + 1) for each in sentence.citations]
        told.append({"text": sentence.text, "citations": cited})
    return {
        "answer": "\n".join(sentence.text for sentence in sentences) or None,
        "sentences": told,
        "citations": [each.as_document(number) for each, number in numbers.items()],
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())

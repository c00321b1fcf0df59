"""Answers in the words of the media: the sentences that say most about a question, unchanged."""

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from pipelines.answering.citations import Citation, Sentence
from pipelines.answering.passages import Passage
from pipelines.answering.sentences import Quote, quotes_in
from pipelines.models.protocols import TextEncoder
from pipelines.search.fusion.reranking import LexicalReranker
from pipelines.search.words import terms

_MEANING, _WORDS, _AROUND = 0.75, 0.15, 0.10
_ENOUGH = 0.40
_ENOUGH_WORDS = 0.40
_BESIDE = 0.80  # of the best score, for a further sentence
_LONGER = 0.85  # of a quote's score, for one that holds it and more
_SAME = 0.90  # cosine of two sentences that say the same
_MOST = 3
_READ = 64  # quotes that are encoded
_HEADING = 60  # characters

_DENIES = re.compile(r"\b(?:no|not|never|none|without)\b", re.IGNORECASE)


class Writer(Protocol):
    """Answers a question from passages."""

    name: str

    def write(self, question: str, passages: Sequence[Passage]) -> list[Sentence]:
        """Return the sentences of an answer, each with what it rests on; none where it has none."""
        ...


class Extractive:
    """Quotes up to three sentences, the best first.

    A sentence is judged by its meaning (cosine to the question, read under its title and heading)
    and by the question's words in it and in its passage, rare ones first; one that neither adds to
    these words nor denies them is no answer. Further ones are close to the best and say something
    else. Without an encoder words alone decide.

    Bounds and weights were found for MiniLM on 40 questions about samples and receipts: the first
    sentence answers 32 of them, and 39 of 40 on other subjects are refused. Of others that were
    asked afterwards it is 19 of 20, and 32 of 32.
    """

    name = "extractive"

    def __init__(self, encoder: TextEncoder | None = None):
        self._encoder = encoder

    def write(self, question: str, passages: Sequence[Passage]) -> list[Sentence]:
        """As in `Writer`."""
        asked = set(terms(question))
        quotes = [
            quote
            for passage in passages
            for quote in quotes_in(passage)
            if _DENIES.search(quote.text)
            or set(terms(quote.text)) - asked - set(terms(passage.title or ""))
        ]
        if not quotes:
            return []
        judge = LexicalReranker()
        around = judge.score(question, [_under(each.title, each.text) for each in passages])
        by_passage = dict(zip(passages, around, strict=True))
        words = np.array(judge.score(question, [quote.text for quote in quotes]))
        scores = words
        vectors = np.zeros((len(quotes), 1), np.float32)
        if self._encoder is not None:
            near = np.array([by_passage[quote.passage] for quote in quotes])
            read = np.argsort(-(words + near), kind="stable")[:_READ]
            quotes, words, near = [quotes[at] for at in read], words[read], near[read]
            told = self._encoder.encode_texts([question, *map(_in_context, quotes)])
            vectors = told[1:]
            scores = _MEANING * vectors @ told[0] + _WORDS * words + _AROUND * near
        enough = _ENOUGH if self._encoder is not None else _ENOUGH_WORDS
        return list(_chosen(quotes, scores, vectors, enough))


def _chosen(
    quotes: Sequence[Quote], scores: np.ndarray, vectors: np.ndarray, enough: float
) -> Iterator[Sentence]:
    """Choose greedily; what others say in the very same words is cited with it."""
    taken: list[int] = []
    for best in np.argsort(-scores, kind="stable").tolist():
        if scores[best] < max(enough, _BESIDE * scores[taken[0]] if taken else 0.0):
            return
        at = _longest(quotes, scores, best)
        if any(quotes[at].overlaps(quotes[other]) for other in taken):
            continue
        if any(vectors[at] @ vectors[other] > _SAME for other in taken):
            continue
        text = quotes[at].text
        same = [quote for quote in quotes if quote.text == text]
        if any(quotes[other].text == text for other in taken):
            continue
        taken.append(at)
        ordered = sorted(same, key=lambda quote: quote is not quotes[at])
        yield Sentence(text, tuple(Citation(quote.passage, text) for quote in ordered[:_MOST]))
        if len(taken) == _MOST:
            return


def _longest(quotes: Sequence[Quote], scores: np.ndarray, at: int) -> int:
    """Return a quote that holds this one and more, where it is nearly as good."""
    holding = [
        other
        for other, quote in enumerate(quotes)
        if quote.holds(quotes[at]) and scores[other] >= _LONGER * scores[at]
    ]
    return max(holding, key=lambda other: (scores[other], -other), default=at)


def _in_context(quote: Quote) -> str:
    """Return a quote under its title and the first line of its passage, where that is a heading."""
    heading = quote.passage.text.split("\n", 1)[0]
    title, text = quote.passage.title, quote.text
    named = heading.strip(" #=*")
    if quote.start < len(heading) or len(named) > _HEADING or named == title:
        return _under(title, text)
    return _under(title, _under(named, text))


def _under(heading: str | None, text: str) -> str:
    return f"{heading}. {text}" if heading else text

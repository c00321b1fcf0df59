"""A set of pictures in words: what each shows, what is read in it, and what several share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.models.suite import ModelSuite
from pipelines.privacy.pii import mask
from pipelines.search.asked.expansion import expand
from pipelines.search.asked.media import Upload, with_upload
from pipelines.search.asked.query import Degraded, Query
from pipelines.search.words import terms
from pipelines.settings import Settings

_QUOTED = 160  # characters of a text that was read
_SHARED = 8  # words
_GROUPS = 3
_WORD = re.compile(r"[^\W\d_]{3,}")
_SAYS_NOTHING = frozenset(terms("photo picture image photograph close view"))


@dataclass(frozen=True)
class Pictured:
    """One of the set: what the caption model says of it, and the redacted text read in it.

    `item` holds what is told of an indexed one, nothing for an upload.
    """

    caption: str | None = None
    text: str | None = None
    item: Mapping[str, Any] | None = None
    degraded: tuple[Degraded, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Why it is told in part, or not at all."""
        reasons = [each.reason for each in self.degraded]
        if not (self.caption or self.text or reasons):
            reasons.append("there is nothing to be seen or read in it")
        return reasons


def look(upload: Upload, settings: Settings) -> Pictured:
    """Caption an uploaded picture and read it; what is private in its text is masked.

    What cannot be decoded, or a model that fails, is noted as degraded.
    """
    query = with_upload(Query(), upload, settings)
    if query.image is None:
        return Pictured(degraded=query.degraded)
    image = query.image.copy()
    image.thumbnail((settings.derivative_side, settings.derivative_side))
    read = expand(replace(query, image=image), settings)
    if read.guess is None or read.guess.source == "caption":
        caption = read.guess.text if read.guess else None
        return Pictured(caption, degraded=read.degraded)
    text = mask(read.guess.text, ModelSuite.chosen_by(settings).detector().find(read.guess.text))
    unread = settings.model_copy(update={"read_images": False})
    shown = expand(replace(query, image=image), unread)
    caption = shown.guess.text if shown.guess else None
    return Pictured(caption, text, degraded=shown.degraded)


def describe(pictures: Sequence[Pictured]) -> list[dict[str, Any]]:
    """Describe a set in sentences, each with the numbers (from 1) of those that it speaks of.

    Those of the same caption are described together; then come the texts, then the words that
    captions and texts of several have in common.
    """
    sentences: list[dict[str, Any]] = []
    captions: dict[str, list[int]] = {}
    for number, picture in enumerate(pictures, start=1):
        if picture.caption:
            captions.setdefault(picture.caption.strip().rstrip("."), []).append(number)
    for caption, numbers in captions.items():
        verb = "shows" if len(numbers) == 1 else "show"
        sentences.append(_sentence(numbers, f"{verb} {_lowered(caption)}."))
    for number, picture in enumerate(pictures, start=1):
        if picture.text:
            sentences.append(_sentence([number], f"reads “{_beginning(picture.text)}”."))
    for numbers, words in _shared(pictures):
        sentences.append(_sentence(numbers, f"have in common: {', '.join(words)}."))
    return sentences


def _sentence(numbers: Sequence[int], rest: str) -> dict[str, Any]:
    *first, last = map(str, numbers)
    named = f"Pictures {', '.join(first)} and {last}" if first else f"Picture {last}"
    return {"text": f"{named} {rest}", "citations": list(numbers)}


def _shared(pictures: Sequence[Pictured]) -> list[tuple[list[int], list[str]]]:
    """Return the words that several have in common, by the numbers of these, most of them first."""
    having: dict[str, list[int]] = {}
    spelled: dict[str, str] = {}
    for number, picture in enumerate(pictures, start=1):
        for word in _WORD.findall(f"{picture.caption or ''} {picture.text or ''}".lower()):
            for term in terms(word):
                spelled.setdefault(term, word)
                if number not in having.setdefault(term, []):
                    having[term].append(number)
    groups: dict[tuple[int, ...], list[str]] = {}
    for term, numbers in having.items():
        if len(numbers) > 1 and term not in _SAYS_NOTHING:
            groups.setdefault(tuple(numbers), []).append(spelled[term])
    best = sorted(groups.items(), key=lambda group: (-len(group[0]), -len(group[1]), group[0]))
    return [(list(numbers), words[:_SHARED]) for numbers, words in best[:_GROUPS]]


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUOTED else line[:_QUOTED].rsplit(" ", 1)[0] + " …"


def _lowered(caption: str) -> str:
    """Go on within a sentence; a word in capitals stays."""
    return caption if caption[1:2].isupper() else caption[:1].lower() + caption[1:]

"""Taking private data out of what was asked, before it is written anywhere."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pipelines.models.protocols import SpokenWord
from pipelines.privacy.pii import PATTERN_ENTITIES, Detector, mask
from pipelines.privacy.spoken import redact_speech
from pipelines.search.journal.records import Record

_LITERAL = re.compile(r"'(?:[^']|'')*'")
_WORD = re.compile(r"\w+")
# Detection takes milliseconds, and a text stands in several places.
_REMEMBERED = 4096
_TEXTS = ("text", "read")
_ASKED = ("text", "read", "reworded")


class Masking:
    """Puts a mask such as `<PERSON>` in the place of each private value that a query holds."""

    def __init__(self, detector: Detector):
        self._detector = detector
        self._typed = lru_cache(_REMEMBERED)(self._find_typed)
        self._said = lru_cache(_REMEMBERED)(self._find_said)

    def of(self, record: Record) -> Record:
        """Return a record without private values: in texts, what was read or heard, the filter.

        A result's matched words stay as far as they are still in the text.
        """
        request, asked = dict(record.request), dict(record.answer["asked"])
        for document, names in ((request, _TEXTS), (asked, _ASKED)):
            for name in names:
                if document.get(name):
                    document[name] = self._typed(document[name])
        if guess := request["guess"]:
            clean = (self._said if guess["source"] == "transcript" else self._typed)(guess["text"])
            request["guess"] = guess | {"text": clean}
            if record.answer["asked"]["text"] == guess["text"]:
                asked["text"] = clean
        if request["where"]:
            request["where"] = _LITERAL.sub(self._value, request["where"])
        if request == record.request and asked == record.answer["asked"]:
            return record
        left = {word.casefold() for text in asked.values() for word in _WORD.findall(str(text))}
        return replace(
            record,
            request=request,
            answer=record.answer | {"asked": asked},
            results=[_matching(result, left) for result in record.results],
            masked=True,
        )

    def _find_typed(self, text: str) -> str:
        return mask(text, self._detector.find(text))

    def _find_said(self, text: str) -> str:
        words = [SpokenWord(word, at, at + 1.0) for at, word in enumerate(text.split())]
        return " ".join(word.text for word in redact_speech(words, self._detector).words)

    def _value(self, literal: re.Match[str]) -> str:
        return mask(literal[0], self._detector.find(literal[0], PATTERN_ENTITIES))


def _matching(result: Mapping[str, Any], left: set[str]) -> dict[str, Any]:
    return {**result, "matched": [word for word in result["matched"] if word.casefold() in left]}

"""Words as the full-text index sees them: folded, without stop words, by their stems."""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

from pipelines.privacy.masks import MASK

_WORD = re.compile(r"[^\W_]+")
_SHORT = 40  # bytes; the index leaves out words of as many

_LEFT_OUT = """
a about after again against ain all am an and are aren as at be been being below between both
but by can couldn d did didn do doesn doing don down each few for from further had hadn has hasn
have haven having he her here hers herself him himself his how i if in into is isn it its itself
just ll m ma me mightn more most mustn my myself needn no nor not now o of off on or other our
ours out over own re s same shan she should shouldn so some such t than that the their them then
there these they this those through to too under until up ve was wasn we were weren what when
where which while who whom will with won wouldn y you your yours yourself
"""
_STOP_WORDS = frozenset(_LEFT_OUT.split())


def literal(text: str | None) -> str | None:
    """Return what BM25 should be asked with: the text without masks such as `<PERSON>`."""
    return " ".join(MASK.sub(" ", text or "").split()) or None


def matched(query_text: str, passage: str) -> list[str]:
    """Return the words of a query that a passage holds, as they were written, each once.

    What stands for personal data in a passage, such as `<PHONE_NUMBER>`, holds no word.
    """
    held = set(terms(passage))
    found = {
        term: word
        for word in _words(query_text)
        if (term := _term(word)) is not None and term in held
    }
    return list(found.values())


def terms(text: str) -> list[str]:
    """Return the terms that a text is found by, in their order; masks are left out."""
    return [term for word in _words(text) if (term := _term(word)) is not None]


def _words(text: str) -> list[str]:
    return _WORD.findall(MASK.sub(" ", text))


@lru_cache(maxsize=16384)
def _term(word: str) -> str | None:
    """Return the term of a word, `None` for one that the index leaves out."""
    if len(word.encode()) >= _SHORT:
        return None
    stemmed = _stemmer().stemWord(word.lower())
    return None if stemmed in _STOP_WORDS else _folded(stemmed)


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def _folded(word: str) -> str:
    if word.isascii():
        return word
    spelled = word.translate(_SPELLED)
    plain = unicodedata.normalize("NFKD", spelled)
    return "".join(each for each in plain if not unicodedata.combining(each))


_SPELLED = str.maketrans({"ß": "ss", "œ": "oe", "æ": "ae", "ø": "o", "đ": "d", "ł": "l", "þ": "th"})

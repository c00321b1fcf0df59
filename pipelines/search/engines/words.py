"""Passages in memory: BM25 is a sum over words, and what each word adds is remembered.

The terms and their weights are LanceDB's own: it is asked once what a word alone scores.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from cachetools import LRUCache

from pipelines.search.engines.found import Found
from pipelines.search.engines.held import SELECTIONS, Held, unpacked
from pipelines.search.engines.rows import Rows

_WORD_BYTES = 128  # for remembered words, a passage
_ENTRY_BYTES = 200  # a word with nothing to add


class Word(NamedTuple):
    """What a word adds: scores of rows by number, each row once."""

    rows: np.ndarray
    scores: np.ndarray


class HeldPassages(Held[np.ndarray]):
    """Rows of passages, and the `words` that were asked for lately."""

    def __init__(self, rows: Rows, before: "HeldPassages | None" = None):
        super().__init__(rows, rows.numbers.present, before.first if before else len(rows))
        self.words: LRUCache[str, Word] = LRUCache(_WORD_BYTES * len(rows), _bytes_of_word)

    @property
    def nbytes(self) -> int:
        """What is held, in bytes, with what is remembered of words and filters."""
        return self.rows.nbytes + (_WORD_BYTES + SELECTIONS // 8) * len(self.rows)

    def word(self, row_ids: np.ndarray, scores: np.ndarray) -> Word:
        """Return what a word adds to rows by their ids in LanceDB."""
        return Word(self.rows.numbers.at(row_ids).astype(np.int32), scores.copy())

    def match(self, words: Sequence[Word], selection: np.ndarray, rows: int, items: int) -> Found:
        """Return the best selected passages, as `Engine.match` does."""
        scores = np.zeros(len(self.rows), np.float32)
        for word in words:
            scores[word.rows] += word.scores
        left = np.flatnonzero(scores)
        left = left[selection[left >> 3] >> (left & 7) & 1 == 1]
        best = Found()
        while True:
            found = left
            if len(left) > rows:
                found = left[np.argpartition(-scores[left], rows - 1)[:rows]]
            found = found[np.argsort(-scores[found], kind="stable")]
            best.add(self.rows.best(scores[found], found))
            if len(best) >= items or len(found) == len(left):
                return best
            left = np.setdiff1d(left, self.rows.of(best), assume_unique=True)

    def _selection(self, selected: np.ndarray) -> np.ndarray:
        return np.packbits(selected, bitorder="little")

    def _mask(self, selection: np.ndarray) -> np.ndarray:
        return unpacked(selection, len(self.rows))


def _bytes_of_word(word: Word) -> int:
    return _ENTRY_BYTES + word.rows.nbytes + word.scores.nbytes

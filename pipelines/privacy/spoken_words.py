"""What the ways of reading speech share: tokens without their marks, masks, sets of words."""

import re
import string


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


FILLERS = word_set(
    "ah dash dot eh er erm hm hmm hyphen like mhm mm ok okay plus space then uh uhm um well"
)
"""What people say while they think, and the marks between the groups of a number."""

BARRIER = "<>"
"""What stands for a mask: no number, name or address goes on over it."""

Part = tuple[int, int, str]
"""Tokens [first, last) and how they are written."""

_MASK = re.compile(r"<[A-Z_]+>")
_MARKS = string.punctuation + "‘’“”–—…¡¿"


def is_mask(token: str) -> bool:
    """Whether a token stands for something that was found before."""
    return _MASK.fullmatch(token) is not None


def core(token: str) -> str:
    """Return a token in lower case without the marks around it."""
    if is_mask(token):
        return BARRIER
    return "at" if token == "@" else token.replace("’", "'").strip(_MARKS).lower()

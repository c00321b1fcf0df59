"""How a word that no dictionary knows is said, in the phones of CMUdict."""

import re
import unicodedata
from collections.abc import Callable

Dictionary = Callable[[str], str | None]

VOWELS = "aeiouy"
SHORTEST_PIECE = 3
# Longest first; a vowel alone is read by `CLOSED` or `OPEN`.
LETTERS = {
    "tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "eigh": "EY", "augh": "AO",
    "ough": "OW", "tch": "CH", "dge": "JH", "sch": "SH", "igh": "AY", "eau": "OW",
    "sh": "SH", "ch": "CH", "ck": "K", "ph": "F", "th": "TH", "wh": "W", "gh": "G",
    "ng": "NG", "nk": "NG K", "qu": "K W", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW",
    "ow": "OW", "oi": "OY", "oy": "OY", "ai": "EY", "ay": "EY", "au": "AO", "aw": "AO",
    "ie": "IY", "ey": "IY", "oa": "OW", "ew": "UW", "ar": "AA R", "er": "ER", "ir": "ER",
    "ur": "ER", "or": "AO R", "b": "B", "c": "K", "d": "D", "f": "F", "g": "G", "h": "HH",
    "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "p": "P", "q": "K", "r": "R", "s": "S",
    "t": "T", "v": "V", "w": "W", "x": "K S", "z": "Z",
}  # fmt: skip
CLOSED = {"a": "AE", "e": "EH", "i": "IH", "o": "AA", "u": "AH", "y": "IH"}
OPEN = {"a": "AA", "e": "EH", "i": "IY", "o": "OW", "u": "UW", "y": "IY"}
LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW", "y": "AY"}
LAST = {"a": "AH", "e": "", "i": "IY", "o": "OW", "u": "UW", "y": "IY"}
FIRST = {"kn": "N", "wr": "R", "ps": "S", "x": "Z", "y": "Y"}


def spoken_words(term: str) -> list[str]:
    """Split a term into lower-case words of a-z and apostrophes, and single digits.

    Capitals at the end of a word are one of their own: "DuckDB" is "duck" and "db".
    """
    plain = unicodedata.normalize("NFKD", term).encode("ascii", "ignore").decode()
    apart = re.sub(r"(?<=[a-z])(?=[A-Z]{2})", " ", plain)
    return re.findall(r"[a-z]+(?:'[a-z]+)*|\d", apart.lower())


def pronunciations(term: str, dictionary: Dictionary) -> list[str]:
    """Return likely pronunciations of a name or term, the likeliest first; none if it has no words.

    A word that `dictionary` lacks is put together from words that it has, and read by rules of
    English spelling, once with the vowels of English and once with those of Romance names.
    """
    words = spoken_words(term)
    readings = [_readings(word, dictionary) for word in words]
    variants = max((len(options) for options in readings), default=0)
    phones = (
        " ".join(options[min(variant, len(options) - 1)] for options in readings)
        for variant in range(variants)
    )
    return list(dict.fromkeys(filter(None, phones)))


def _readings(word: str, dictionary: Dictionary) -> list[str]:
    digits = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    if word.isdigit():
        word = digits[int(word)]
    if known := dictionary(word):
        return [known]
    if not set(word) & set(VOWELS):
        return [" ".join(filter(None, map(dictionary, word.replace("'", ""))))]
    pieces = _in_pieces(word, dictionary)
    by_rules = [_by_rules(word, CLOSED), _by_rules(word, OPEN)]
    return [" ".join(pieces), *by_rules] if pieces else by_rules


def _in_pieces(word: str, dictionary: Dictionary) -> list[str]:
    """Cut a word into the fewest known words, the longest first; empty where that fails."""
    best: list[str] = []
    for cut in range(len(word), SHORTEST_PIECE - 1, -1):
        phones = dictionary(word[:cut])
        if phones and cut == len(word):
            return [phones]
        rest = _in_pieces(word[cut:], dictionary) if phones else []
        if phones and rest and (not best or len(rest) + 1 < len(best)):
            best = [phones, *rest]
    return best


def _by_rules(word: str, vowels: dict[str, str]) -> str:
    word = re.sub(r"([b-df-hj-np-tv-z])\1", r"\1", word.replace("'", ""))
    phones: list[str] = []
    at = 0
    while at < len(word):
        length, sound = _sound(word, at, vowels)
        phones.append(sound)
        at += length
    return " ".join(filter(None, phones))


def _sound(word: str, at: int, vowels: dict[str, str]) -> tuple[int, str]:
    """Return how many letters are read at a place, and their phones."""
    rest = word[at:]
    if at == 0:
        for letters, sound in FIRST.items():
            if rest.startswith(letters) and len(rest) > len(letters):
                return len(letters), sound
    for length in range(min(4, len(rest)), 1, -1):
        if rest[:length] in LETTERS and not (rest[1] == "r" and rest[2:3] and rest[2] in VOWELS):
            return length, LETTERS[rest[:length]]
    letter, after = rest[0], rest[1:2]
    if letter in "cg" and after and after in "eiy":
        return 1, "S" if letter == "c" else "JH"
    if letter not in VOWELS:
        return 1, LETTERS[letter]
    if len(rest) == 1:
        return 1, LAST[letter]
    if re.fullmatch(r"[^aeiouyrwx]e[sd]?", rest[1:]):
        return 1, LONG[letter]
    return 1, vowels[letter]

"""English words to their stems, as the full-text index makes them: Porter's second stemmer.

After the description of the English stemmer of Snowball 3, snowballstem.org.
"""

import re
from functools import lru_cache

_VOWEL = "[aeiouy]"
_DOUBLE = re.compile(r"(?<!^[aeo])(bb|dd|ff|gg|mm|nn|pp|rr|tt)$")
_REGION = re.compile(rf"{_VOWEL}[^aeiouy]")
_REGION_1 = re.compile(r"^(gener|commun|arsen|past|univers|later|emerg|organ|inter)")
_SHORT_END = re.compile(rf"([^aeiouy]{_VOWEL}[^aeiouywxY]|^{_VOWEL}[^aeiouy]|^past)$")
_HAS_VOWEL = re.compile(_VOWEL)

_EXCEPTIONS = {
    "skis": "ski",
    "skies": "sky",
    "idly": "idl",
    "gently": "gentl",
    "ugly": "ugli",
    "early": "earli",
    "only": "onli",
    "singly": "singl",
} | {word: word for word in ("sky", "news", "howe", "atlas", "cosmos", "bias", "andes")}
_FINISHED = frozenset(
    ["inning", "outing", "canning", "herring", "earring", "evening", "proceed", "exceed", "succeed"]
)

# The longest ending comes first.
_STEP_2 = (
    ("ational", "ate"), ("fulness", "ful"), ("iveness", "ive"), ("ization", "ize"),
    ("ousness", "ous"), ("biliti", "ble"), ("lessli", "less"), ("tional", "tion"),
    ("alism", "al"), ("aliti", "al"), ("ation", "ate"), ("entli", "ent"), ("fulli", "ful"),
    ("iviti", "ive"), ("ousli", "ous"), ("ogist", "og"), ("abli", "able"), ("alli", "al"),
    ("anci", "ance"), ("ator", "ate"), ("enci", "ence"), ("izer", "ize"), ("bli", "ble"),
    ("ogi", "og"), ("li", ""),
)  # fmt: skip
_STEP_3 = (
    ("ational", "ate"), ("tional", "tion"), ("alize", "al"), ("ative", ""), ("icate", "ic"),
    ("iciti", "ic"), ("ical", "ic"), ("ness", ""), ("ful", ""),
)  # fmt: skip
_STEP_4 = (
    "ement", "able", "ance", "ence", "ible", "ment", "ant", "ate", "ent", "ion", "ism", "iti",
    "ive", "ize", "ous", "al", "er", "ic",
)  # fmt: skip


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """Return the stem of a word in lower case; a word of another language may stay as it is."""
    if len(word) < 3:
        return word
    if word in _EXCEPTIONS:
        return _EXCEPTIONS[word]
    # A y that is a consonant is written Y, until the end.
    word = re.sub(rf"^y|(?<={_VOWEL})y", "Y", word)
    first, second = _regions(word)
    word = _plural(word)
    if word in _FINISHED:
        return word
    word = _past(word, first)
    word = re.sub(r"(?<=..)(?<![aeiouy])[yY]$", "i", word)
    word = _longer(word, first)
    word = _adjective(word, first, second)
    word = _ending(word, second)
    return _last(word, first, second).lower()


def _regions(word: str) -> tuple[int, int]:
    """Return where R1 and R2 begin: behind the first and second consonant that follows a vowel."""
    special = _REGION_1.match(word)
    first = special.end() if special else _behind(word, 0)
    return first, _behind(word, first)


def _behind(word: str, start: int) -> int:
    found = _REGION.search(word, start)
    return found.end() if found else len(word)


def _plural(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ied", "ies")):
        return word[:-2] if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and _HAS_VOWEL.search(word[:-2]):
        return word[:-1]
    return word


def _past(word: str, first: int) -> str:
    for ending in ("eedly", "eed"):
        if word.endswith(ending):
            start = len(word) - len(ending)
            return word[:start] + "ee" if start >= first else word
    for ending in ("ingly", "edly", "ing", "ed"):
        if word.endswith(ending):
            left = word.removesuffix(ending)
            if ending == "ing" and re.fullmatch(r"[^aeiouy][yY]", left):
                return left[0] + "ie"
            if not _HAS_VOWEL.search(left):
                return word
            if left.endswith(("at", "bl", "iz")):
                return left + "e"
            if _DOUBLE.search(left):
                return left[:-1]
            return left + "e" if first >= len(left) and _SHORT_END.search(left) else left
    return word


def _longer(word: str, first: int) -> str:
    for ending, shorter in _STEP_2:
        if word.endswith(ending):
            start = len(word) - len(ending)
            before = word[start - 1 : start]
            fits = (ending != "ogi" or before == "l") and (ending != "li" or before in "cdeghkmnrt")
            return word[:start] + shorter if start >= first and fits else word
    return word


def _adjective(word: str, first: int, second: int) -> str:
    for ending, shorter in _STEP_3:
        if word.endswith(ending):
            start = len(word) - len(ending)
            fits = start >= (second if ending == "ative" else first)
            return word[:start] + shorter if fits else word
    return word


def _ending(word: str, second: int) -> str:
    for ending in _STEP_4:
        if word.endswith(ending):
            start = len(word) - len(ending)
            fits = ending != "ion" or word[start - 1 : start] in ("s", "t")
            return word[:start] if start >= second and fits else word
    return word


def _last(word: str, first: int, second: int) -> str:
    start = len(word) - 1
    if word.endswith("e"):
        if start >= second or (start >= first and not _SHORT_END.search(word[:-1])):
            return word[:-1]
    elif word.endswith("ll") and start >= second:
        return word[:-1]
    return word

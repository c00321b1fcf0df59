"""Names in speech without capitals: those announced, and those that the lists know in full."""

from collections.abc import Iterator, Sequence

from pipelines.privacy.names import fold, gazetteer
from pipelines.privacy.spoken_words import FILLERS, Part, word_set

_TITLES = word_set("mister missus mr mrs ms mistress")
_MILD = word_set("dear doctor dr hello hey hi madam miss prof professor thanks")
_INTRODUCED = (
    (("name", "is"), True),
    (("name's",), True),
    (("names",), False),
    (("surname", "is"), True),
    (("i", "am"), False),
    (("i'm",), False),
    (("call", "me"), False),
    (("this", "is"), False),
    (("thank", "you"), False),
)
_SPEAKING = word_set("speaking calling")
FUNCTION = word_set(
    """
    a about after all also am an and any are as at be because been being but by can could did do
    does down else for from got had has have he hence her here hers him his how i if in is it
    its just like many me mine more much must my no nor not now of off on or other our ours over
    own per said same shall she should so some such than that the their them then there these
    they this those till to too under until up us very was we went were what when where which
    while who whom with would written yes yet you your yours
    """
)
"""Words that no sentence does without."""

# Words that the lists of names hold, though few people bear them.
_ORDINARY = word_set(
    """
    autumn colon delta edit fancy fed forum handy may max read server skip trace unknown van
    will
    """
)
_ENDINGS = ("s", "ed", "d", "ing")


def names(tokens: Sequence[str], cores: Sequence[str]) -> Iterator[Part]:
    """Yield the words of names with capitals, an announced one with a mark that says so."""
    at = 0
    while at < len(cores):
        announced = _announced(cores, at)
        count = _announced_words(tokens, cores, at, announced) if announced else 0
        mark = "; Name: " if count else ""
        count = count or _full_name(tokens, cores, at)
        for place in range(at, at + count):
            name = cores[place].removesuffix("'s").title()
            business = cores[place + 1 : place + 2] and cores[place + 1] in gazetteer().business
            ends = place == at + count - 1 and (mark or not business)
            yield place, place + 1, f"{mark if place == at else ''}{name}{',' if ends else ''}"
        at += count or 1


def _announced(cores: Sequence[str], at: int) -> str:
    """Tell whether a name is announced here: "titled", "surely", "perhaps" or "" for no."""
    end = at
    while end > 0 and cores[end - 1] in FILLERS:
        end -= 1
    before = cores[end - 1] if end else ""
    if before in _TITLES:
        return "titled"
    if end > 1 and cores[end - 2 : end] == ["this", "is"]:
        return "perhaps" if _SPEAKING.isdisjoint(cores[at + 1 : at + 4]) else "surely"
    for words, sure in _INTRODUCED:
        if tuple(cores[max(0, end - len(words)) : end]) == words:
            return "surely" if sure else "perhaps"
    return "perhaps" if before in _MILD else ""


def _announced_words(tokens: Sequence[str], cores: Sequence[str], at: int, announced: str) -> int:
    """Count the words of an announced name: one to three, 0 for none."""
    word = _bare(cores[at])
    if announced == "perhaps":
        fits = len(word) > 2 and listed(word) and not common(word)
    else:
        fits = _wordy(word) and (listed(word) or not common(word))
    if not fits:
        return 0
    count = 1
    while count < 3 and at + count < len(cores) and tokens[at + count - 1][-1].isalnum():
        word = _bare(cores[at + count])
        surname = word in gazetteer().last and word not in FUNCTION | _ORDINARY
        second = count == 1 and _wordy(word)
        # Surnames that the recogniser does not know come out as words: "mister john guess".
        misheard = second and announced == "titled" and word in gazetteer().words
        if not (surname or misheard or ((second or listed(word)) and not common(word))):
            break
        count += 1
    return count


def _full_name(tokens: Sequence[str], cores: Sequence[str], at: int) -> int:
    """Return 2 where the lists know two words as first and last name, else 0."""
    if at + 2 > len(cores) or not tokens[at][-1].isalnum():
        return 0
    first, last = _bare(cores[at]), _bare(cores[at + 1])
    known = first in gazetteer().first and last in gazetteer().last
    ordinary = common(first) or last in FUNCTION | _ORDINARY
    return 2 if known and not ordinary and min(len(first), len(last)) > 2 else 0


def _bare(core: str) -> str:
    return fold(core.removesuffix("'s"))


def _wordy(word: str) -> bool:
    return len(word) > 1 and word.replace("-", "").isalpha() and word not in FUNCTION


def listed(word: str) -> bool:
    """Whether a folded word is on one of the lists of names."""
    lists = gazetteer()
    return word in lists.first or word in lists.last or word in lists.chinese


def common(word: str) -> bool:
    """Whether it is an ordinary word, or a form of one, before it is anybody's name."""
    words = gazetteer().words
    if word in words or word in FUNCTION or word in _ORDINARY:
        return True
    stems = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)]
    return not listed(word) and any(s in words or f"{s}e" in words for s in stems)

"""Numbers as they are dictated, "five five five oh one": which words are digits of one number."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pipelines.privacy.spoken_words import BARRIER, FILLERS, Part, word_set

_DIGITS = "zero one two three four five six seven eight nine"
UNITS = {word: str(n) for n, word in enumerate(_DIGITS.split())} | {"oh": "0", "o": "0"}
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TEENS_OF = {word: str(n) for n, word in enumerate(_TEENS.split(), 10)}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS_OF = {word: str(n) for n, word in enumerate(_TENS.split(), 2)}
_TIMES = {"double": 2, "triple": 3, "treble": 3}
_ALIKE = {"to": "2", "too": "2", "for": "4", "fore": "4", "ate": "8", "won": "1", "owe": "0"}
_CALLING = word_set(
    """
    account call called calling card cell contact dial extension fax mobile number numbers
    passport phone pin reach security social ssn telephone text whatsapp
    """
)
_REACH = 6  # words over which one of these announces digits
_GAP = 3  # fillers that a number goes on after


@dataclass(frozen=True)
class Run:
    """Digits dictated in tokens [first, last); `single` of them each stand by themselves."""

    first: int
    last: int
    digits: str
    single: int


def read_digits(cores: Sequence[str], at: int) -> Run | None:
    """Read what stands for one or several digits at a token."""
    word, after, then = (*cores[at : at + 3], "", "", "")[:3]
    if word in _TIMES and after in UNITS:
        return Run(at, at + 2, UNITS[after] * _TIMES[word], _TIMES[word])
    if word in UNITS:
        if after == "hundred":
            return Run(at, at + 2, UNITS[word] + "00", 0)
        return Run(at, at + 1, UNITS[word], 1)
    if word in _TEENS_OF or word in _TENS_OF:
        if after in ("oh", "o") and then in UNITS:  # a year
            return Run(at, at + 3, _TEENS_OF.get(word, "20") + "0" + UNITS[then], 0)
        if word in _TENS_OF and UNITS.get(after, "0") != "0":
            return Run(at, at + 2, _TENS_OF[word] + UNITS[after], 0)
        return Run(at, at + 1, _TEENS_OF.get(word) or _TENS_OF[word] + "0", 0)
    if word.isascii() and word.isdigit():
        round_or_year = word.endswith("00") or re.fullmatch(r"1\d{3}|20\d\d|\d\d|\d{5}", word)
        return Run(at, at + 1, word, 0 if round_or_year else len(word))
    if "-" in word:  # twenty-one, 555-0199
        run = _run(word.split("-"), 0)
        if run and run.last == word.count("-") + 1:
            return Run(at, at + 1, run.digits, run.single)
    return None


def _run(cores: Sequence[str], at: int) -> Run | None:
    """Read the digits from a token on, over fillers and over "to" for "two" between digits."""
    run, atom = None, read_digits(cores, at)
    while atom:
        digits, single = (run.digits, run.single) if run else ("", 0)
        run = Run(at, atom.last, digits + atom.digits, single + atom.single)
        after = _after_fillers(cores, atom.last)
        atom = read_digits(cores, after)
        if (
            not atom
            and after < len(cores)
            and cores[after] in _ALIKE
            and read_digits(cores, after + 1)
        ):
            atom = Run(after, after + 1, _ALIKE[cores[after]], 0)
    return run


def _after_fillers(cores: Sequence[str], at: int) -> int:
    end = at
    while end < len(cores) and end - at < _GAP and (not cores[end] or cores[end] in FILLERS):
        end += 1
    return end


def personal_numbers(cores: Sequence[str]) -> list[Run]:
    """Return the runs of digits that are personal.

    These are six spoken digits in a row, seven with such as "twelve" among them, or four soon after
    "call", "number" and the like; fillers, and one misheard word, may interrupt them. Quantities,
    years and times of day are none.
    """
    chains: list[list[Run]] = []
    at = 0
    while at < len(cores):
        if run := _run(cores, at):
            if chains and _goes_on(chains[-1][-1], run, cores):
                chains[-1].append(run)
            else:
                chains.append([run])
        at = run.last if run else at + 1
    found: list[Run] = []
    for runs in chains:
        digits, single = "".join(r.digits for r in runs), sum(r.single for r in runs)
        whole = Run(runs[0].first, runs[-1].last, digits, single)
        found += [r for r in ([whole] if _personal(whole, cores) else runs) if _personal(r, cores)]
    return found


def _goes_on(before: Run, after: Run, cores: Sequence[str]) -> bool:
    """Whether only one misheard word lies between two runs of single digits."""
    gap = cores[before.last : after.first]
    words = [word for word in gap if word and word not in FILLERS]
    few = len(words) == 1 and len(gap) <= _GAP and BARRIER not in words
    return few and before.single >= 2 and after.single >= 2


def _personal(run: Run, cores: Sequence[str]) -> bool:
    count, single = len(run.digits), run.single
    announced = not _CALLING.isdisjoint(cores[max(0, run.first - _REACH) : run.first])
    return (
        single >= 6
        or (count >= 7 and single >= 3)
        or (count >= 9 and single >= 1)
        or (announced and count >= 4 and single >= 2)
    )


def grouped(run: Run, cores: Sequence[str]) -> str:
    """Write digits in the groups by which the detector tells their kind."""
    said = " ".join(cores[run.first : run.last])
    octets = [_run(part.split(), 0) for part in said.split(" dot ")]
    if len(octets) == 4:
        return ".".join(octet.digits for octet in octets if octet)
    sizes = {7: (3, 4), 10: (3, 3, 4), 11: (1, 3, 3, 4), 14: (4, 6, 4), 15: (4, 6, 5)}
    parts = sizes.get(len(run.digits), (4,) * 5 if 13 <= len(run.digits) <= 19 else (99,))
    if len(run.digits) == 9 and {"social", "ssn"} & set(cores[max(0, run.first - 8) : run.first]):
        parts = (3, 2, 4)
    ends = list(accumulate(parts))
    groups = [run.digits[end - size : end] for end, size in zip(ends, parts, strict=True)]
    return (" " if len(run.digits) > 11 else "-").join(group for group in groups if group)


def accounts(cores: Sequence[str]) -> Iterator[Part]:
    """Yield what is spelled in letters and digits and may be an IBAN."""
    for first in range(len(cores) - 2):
        at, spelled = first, ""
        while at < len(cores) and len(spelled) < 34:
            atom = read_digits(cores, at)
            letter = cores[at] if len(cores[at]) == 1 and cores[at].isalpha() else ""
            if (len(spelled) < 2 and not letter) or not (letter or atom):
                break
            spelled += letter if len(spelled) < 2 or not atom else atom.digits
            at = atom.last if atom and len(spelled) > 2 else at + 1
        if len(spelled) >= 15 and spelled[2:4].isdigit():
            yield first, at, spelled.upper()

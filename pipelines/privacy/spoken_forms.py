"""Speech written out the way the detector reads it: digits, addresses and names, with their words.

Recognised speech is lower case and says "five five five" and "john dot smith at". English only.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from pipelines.privacy.spoken_names import FUNCTION, common, listed, names
from pipelines.privacy.spoken_numbers import UNITS, accounts, grouped, personal_numbers, read_digits
from pipelines.privacy.spoken_words import BARRIER, Part, core, word_set

_POINTS = {"dot": ".", "period": ".", "point": ".", "underscore": "_"} | {
    "dash": "-",
    "hyphen": "-",
    "minus": "-",
    "plus": "+",
}
_DOMAINS = word_set(
    """
    ai app au biz br ca ch cn co com de dev edu es eu fr gov id ie in info int io it jp me mil
    my net nl nz org ph pl pt ru se sg th tv uk us vn za
    """
)
_NO_MAILBOX = word_set(
    """
    am and are at be find found here him is it look looked looking me online or page she shop
    site there up us visit was website you
    """
)
_HOST = re.compile(r"[a-z\d-]+(?:\.[a-z\d-]+)+")
_STREETS = word_set("avenue boulevard court crescent drive lane road street terrace")
_NOT_IN_STREETS = word_set(
    """
    a and at blocks by car day days down feet foot for from hour hours in kilometers lane meters
    mile miles minute minutes of off on percent people star step the to way week weeks year
    years yard yards
    """
)


@dataclass(frozen=True)
class Written:
    """A text for the detector.

    Each span is [start, end) of the text and the tokens [first, last) it stands for; `numbers` are
    the tokens [first, last) that dictate a number.
    """

    text: str
    spans: tuple[tuple[int, int, int, int], ...]
    numbers: tuple[tuple[int, int], ...] = ()

    def tokens(self, start: int, end: int) -> tuple[int, int]:
        """Return the tokens [first, last) behind [start, end) of the text."""
        hit = [span for span in self.spans if span[0] < end and start < span[1]]
        return hit[0][2], hit[-1][3]


def as_said(tokens: Sequence[str]) -> Written:
    """Return the tokens as they are, one blank between."""
    return _joined(tokens, {})


def write_out(tokens: Sequence[str]) -> Written:
    """Write dictated numbers, e-mail and street addresses and names as one would on paper."""
    cores = [core(token) for token in tokens]
    numbers = personal_numbers(cores)
    dictated = [(run.first, run.last, grouped(run, cores)) for run in numbers]
    parts: dict[int, tuple[int, str]] = {}
    taken: set[int] = set()
    for first, last, text in chain(
        accounts(cores), _emails(cores), dictated, _addresses(cores), names(tokens, cores)
    ):
        if taken.isdisjoint(range(first, last)):
            parts[first] = last, text
            taken.update(range(first, last))
    return _joined(tokens, parts, tuple((run.first, run.last) for run in numbers))


def _joined(
    tokens: Sequence[str],
    parts: Mapping[int, tuple[int, str]],
    numbers: tuple[tuple[int, int], ...] = (),
) -> Written:
    texts: list[str] = []
    spans: list[tuple[int, int, int, int]] = []
    at = start = 0
    while at < len(tokens):
        last, text = parts.get(at, (at + 1, tokens[at]))
        texts.append(text)
        spans.append((start, start + len(text), at, last))
        at, start = last, start + len(text) + 1
    return Written(" ".join(texts), tuple(spans), numbers)


def _emails(cores: Sequence[str]) -> Iterator[Part]:
    """Yield "john dot smith at example dot com" as an e-mail address."""
    for at in (at for at, word in enumerate(cores) if word == "at"):
        host, last = _host(cores, at + 1)
        first = at - 1
        if not host or first < 0 or not cores[first] or cores[first] == BARRIER:
            continue
        while first > 0:
            joined = first > 1 and cores[first - 1] in _POINTS
            if joined and cores[first - 2] not in ("", BARRIER):
                first -= 2
            elif _in_mailbox(cores[first - 1]):
                first -= 1
            else:
                break
        if first < at - 1 or cores[first] not in _NO_MAILBOX:
            mailbox = "".join(_spelled(word) for word in cores[first:at])
            yield first, last, f"{mailbox}@{host}"


def _host(cores: Sequence[str], at: int) -> tuple[str, int]:
    """Read a host, whose labels are one or two words each; return it, or "", and its end."""
    if at < len(cores) and _HOST.fullmatch(cores[at]):
        return cores[at], at + 1
    end = label = at
    while dots := [dot for dot in (label + 1, label + 2) if cores[dot : dot + 1] == ["dot"]]:
        if BARRIER in cores[label : dots[0]]:
            break
        label = dots[0] + 1
        if label < len(cores) and cores[label] in _DOMAINS:
            end = label + 1
    return "".join(_spelled(word) for word in cores[at:end]), end


def _spelled(core: str) -> str:
    return _POINTS.get(core) or UNITS.get(core) or core


def _in_mailbox(core: str) -> bool:
    spelled = len(core) == 1 or read_digits([core], 0) is not None
    return spelled or (listed(core) and not common(core))


def _addresses(cores: Sequence[str]) -> Iterator[Part]:
    """Yield a number and a street, as in "two twenty one b baker street"."""
    at = 0
    while at < len(cores):
        first, digits = at, ""
        while atom := read_digits(cores, at):
            digits, at = digits + atom.digits, atom.last
            at += cores[at - 1] == "hundred" and cores[at : at + 1] == ["and"]
        for street in range(at + 1, min(at + 4, len(cores)) if 0 < len(digits) < 7 else at):
            name = cores[at:street]
            plain = all(w.isalpha() and w not in _NOT_IN_STREETS | FUNCTION for w in name)
            if plain and cores[street] in _STREETS:
                words = " ".join(word.capitalize() for word in (*name, cores[street]))
                yield first, street + 1, f"{digits} {words}"
                break
        at += at == first

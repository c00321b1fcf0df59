"""Finding private data in text: Presidio with patterns and lists of names, no downloaded model.

A finding says what kind of thing lies where, never its value.
"""

import ipaddress
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from pipelines.models.protocols import Identity
from pipelines.privacy import names
from pipelines.privacy.names import fold, gazetteer
from pipelines.versions import code_version

PATTERN_ENTITIES = (
    "CREDIT_CARD",
    "EMAIL_ADDRESS",
    "IBAN_CODE",
    "IP_ADDRESS",
    "PHONE_NUMBER",
    "US_SSN",
)
"""Kinds told by their form alone, fit for metadata values as well as for prose."""

ENTITIES = ("ADDRESS", "PERSON", *PATTERN_ENTITIES)

_THRESHOLD = 0.4
_MASKED = re.compile(f"<(?:{'|'.join(ENTITIES)})>")
# What stands for a mask while searching: no pattern reaches over an empty line.
_BARRIER = "\n\n"


@dataclass(frozen=True)
class Finding:
    """A private value of kind `entity` at [start, end) of a text; `score` is 0..1."""

    entity: str
    start: int
    end: int
    score: float


def mask(text: str, findings: Sequence[Finding]) -> str:
    """Replace each finding (sorted, non-overlapping, as `Detector.find` returns) by its kind."""
    parts: list[str] = []
    at = 0
    for finding in findings:
        parts += text[at : finding.start], f"<{finding.entity}>"
        at = finding.end
    return "".join(parts) + text[at:]


class Detector:
    """Finds the given kinds of private data. The engine is shared by the process, built on use."""

    def __init__(self, entities: Sequence[str] = ENTITIES) -> None:
        if unknown := set(entities) - set(ENTITIES):
            raise ValueError(f"Unknown entities: {', '.join(sorted(unknown))}")
        self.entities = tuple(entities)

    @cached_property
    def identity(self) -> Identity:
        """The versions of Presidio, of the rules here and of the lists of names."""
        return Identity(
            name="presidio",
            revision=f"{version('presidio-analyzer')}+{code_version('detector', CODE)}",
            weights=gazetteer().digest,
            preprocessing=f"{','.join(sorted(self.entities))}; threshold {_THRESHOLD}",
            dimension=0,
            dtype="",
        )

    def find(self, text: str, entities: Sequence[str] | None = None) -> list[Finding]:
        """Return findings sorted by start, without overlaps; masks in the text are passed over.

        Nothing is found in the masked text: the search goes on around what was found until then.
        """
        kinds = list(self.entities if entities is None else entities)
        found = [Finding("", m.start(), m.end(), 0.0) for m in _MASKED.finditer(text)]
        fresh = bool(text.strip() and kinds)
        while fresh:
            parts: list[str] = []
            origin: list[int] = []  # of each character searched, its place in the text
            at = 0
            for old in found:
                parts += text[at : old.start], _BARRIER
                origin += [*range(at, old.start), old.start, old.end - 1]
                at = old.end
            seen = "".join(parts) + text[at:]
            origin += range(at, len(text) + 1)
            results = _engine().analyze(
                seen, language="en", entities=kinds, score_threshold=_THRESHOLD
            )
            news = [
                Finding(r.entity_type, origin[r.start], origin[r.end - 1] + 1, r.score)
                for r in results
                if r.end > r.start
            ]
            fresh = bool(news)
            found = sorted(found + _merged(news), key=lambda f: f.start)
        return [f for f in found if f.entity]


def _merged(findings: list[Finding]) -> list[Finding]:
    """Unite findings that overlap under the kind of the surest, then longest, of them."""
    merged: list[tuple[Finding, int]] = []
    for new in sorted(findings, key=lambda f: (f.start, -f.end)):
        if merged and new.start < merged[-1][1]:
            old, end = merged[-1]
            best = max(old, new, key=lambda f: (f.score, f.end - f.start))
            merged[-1] = (
                Finding(best.entity, old.start, old.end, best.score),
                max(end, new.end),
            )
        else:
            merged.append((new, new.end))
    return [Finding(f.entity, f.start, end, f.score) for f, end in merged]


# --- Patterns ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rule:
    """A pattern of the `regex` module for one kind; `check` may refuse what it matches."""

    entity: str
    pattern: str
    score: float
    check: Callable[[str], bool] | None = None


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _luhn(text: str) -> bool:
    digits = [int(c) for c in _digits(text)]
    doubled = (sum(divmod(2 * d, 10)) for d in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _iban(text: str) -> bool:
    plain = re.sub(r"[ -]", "", text).upper()
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _ibans() -> str:
    """Return a pattern of account numbers of the length that each country prescribes."""
    lengths = """
        |15 NO|16 BE|18 DK FI FO GL NL|19 MK SI|20 AT BA EE KZ LT LU XK|21 CH HR LI LV
        |22 BG BH CR DE GB GE IE ME RS VA|23 AE GI IL IQ TL|24 AD CZ ES MD PK RO SA SE SK TN VG
        |25 LY PT ST|26 IS TR|27 FR GR IT MC MR SM|28 AL AZ BY CY DO GT HU LB PL SV|29 BR EG PS QA
        |29 UA|30 JO KW MU|31 MT SC|32 LC
    """
    rows = (row.split() for row in lengths.split("|")[1:])
    return "|".join(
        rf"(?:{'|'.join(countries)})\d\d(?:[ -]?[A-Z0-9]){{{int(length) - 4}}}"
        for length, *countries in rows
    )


def _ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return len(re.findall(r"\w+", text)) > 1


def _dialled(text: str) -> bool:
    return len(_digits(text)) >= 6


_DASH = r"[-–—~_=]"
_GAP = r"[ .,\-–—~]"
_NOT_BEFORE = r"(?<![\w.,/-])"
_NOT_AFTER = r"(?![.,]?\d)"

# How a telephone number is announced, also as Tesseract misreads it.
_CALL = (
    r"(?:(?i:\b(?:t[ef3][l1i|]s?|telefon|telephone|phones?|ph|fa[xk]|h[/.|li1]?p|hand ?phone|mobile"
    r"|mob|cell|call|whatsapp|hotline|carel[il]ne|contact|customer service)\b)|\b[TFMHP](?=[.:]))"
)
_DIGIT = r"(?:\d|(?<=\d)[OoIl|SBZ]|[OoIl|SBZ](?=\d))"  # letters are misread digits

_STREETS = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Square|Terrace|Place"
    r"|Way|Close|Crescent|Trail|Plaza|Ridge|Turnpike|Alley|Highway|Hwy|Parkway|Pkwy|Circle|Mews|Gardens|Grove|Quay)"
)
_STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]"
    "|UT|V[AT]|W[AIVY]"
)
_CAPITALISED = r"[A-ZÀ-Þ][\w'’.-]*"
_JALAN = r"(?i:\b(?:jalan|j[l1]n|jl|lorong|lrg|persiaran|lebuh(?:raya)?|lingkaran|medan)\b)"
_TAMAN = (
    r"(?i:\b(?:taman|tmn|kawasan|perindustrian|seksyen|kampung|kg|bandar|pusat|wisma|menara"
    r"|kompleks)\b)"
)
_MALAYSIA = (
    r"(?i:\b(?:kuala lumpur|k\.?l|selangor|johor|pulau pinang|penang|perak|me[l1]aka|pahang|kedah"
    r"|kelantan|terengganu|sabah|sarawak|perlis|negeri sembilan|putrajaya|labuan|pj|petaling jaya"
    r"|shah alam|subang jaya|kembangan|malaysia)\b)"
)
# A line that goes on with the address: after a comma, or from its postcode.
_OTHER = r"(?![^\n]*(?i:\b(?:gst|tax|invoice|date|total|bill|receipt|cash|tel|fax|phone|h/p)\b))"
_ONWARD = (
    rf"(?:(?<=,[ ]?)\n{_OTHER}[^\n:]{{3,60}}"
    rf"|[ .]*\n{_OTHER}[^\n:\d]{{0,12}}\b\d{{5}}\b[^\n:]{{2,60}})"
)

_RULES = (
    _Rule(
        "EMAIL_ADDRESS",
        r"[\w.+%'!#$&*/=?^`{|}~-]+ ?[@©] ?(?:[\w-]+\.)+[^\W\d_]{2,24}\b(?:-\w+)*",
        0.9,
    ),
    # The dots of the host read as commas or followed by a blank.
    _Rule(
        "EMAIL_ADDRESS",
        r"[\w.+%'-]{2,} ?[@©] ?[\w-]{3,}(?:[.,] ?|[ ])(?i:com|net|org|edu|gov|co|my|sg)\b"
        r"(?:[., ]{1,2}(?i:my|sg|uk|id)\b)?",
        0.8,
    ),
    _Rule("US_SSN", r"(?<![\w-])\d{3}([-–. ])\d{2}\1\d{4}(?![\w-])", 0.85),
    _Rule(
        "US_SSN",
        r"(?<=(?i:\bSSN|social security)(?i:[ ]number|[ ]no)?(?i:[ ]is)?[^\w\n]{1,4})"
        r"\d{3}[^\w\n]{0,3}\d{2}[^\w\n]{0,3}\d{4}(?!\d)",
        0.95,
    ),
    _Rule(
        "CREDIT_CARD",
        r"(?<![\d.-])(?:[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?"
        r"|3[47]\d{2}([ -]?)\d{6}\2\d{5}|(?:2131|1800)\d{11}|3[068]\d{2}([ -]?)\d{6}\3\d{4})(?!\d)",
        1.0,
        _luhn,
    ),
    # Printed in groups it is a card, whether or not its last digits were read well.
    _Rule(
        "CREDIT_CARD",
        r"(?<![\d.-])(?:[3-6]\d{3}([ -]{1,2})\d{4}\1\d{4}(?:[ -]{0,2}[\dOIlSB]{1,5}\b)?"
        r"|2\d{3}([ -]{1,2})\d{4}\2\d{4}\2\d{4}|3[47]\d{2}([ -])\d{6}\3\d{5})(?!\d)",
        0.9,
    ),
    _Rule("IBAN_CODE", rf"(?<![A-Za-z0-9])(?i:{_ibans()})(?![A-Za-z0-9])", 1.0, _iban),
    _Rule("IP_ADDRESS", r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)", 0.8, _ip),
    _Rule(
        "IP_ADDRESS",
        r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])",
        0.8,
        _ip,
    ),
    _Rule(
        "PHONE_NUMBER",
        rf"(?<=(?:{_CALL})(?i:[ .]*(?:no|number|us|at|is|on)\b)?[^\w\n]{{0,6}})"
        rf"(?!\d+[.,]\d\d\b)[+(]{{0,2}}(?:{_DIGIT}[^\w\n]{{0,3}}){{5,15}}{_DIGIT}",
        0.9,
        _dialled,
    ),
    _Rule(
        "PHONE_NUMBER",
        r"(?<!\w)\+ ?[1-9](?:[ ().–-]{0,3}\d){6,14}(?!\d)(?: ?(?:x|(?i:ext)\.?) ?\d{1,5}\b)?",
        0.9,
    ),
    _Rule(  # trunk prefix: 07-355 2616, 012-2673122, (020) 7946 0958, O3 - 7731.8169
        "PHONE_NUMBER",
        rf"{_NOT_BEFORE}\(?[0O]\d{{1,4}}(?:\) ?{_DASH}?| ?{_DASH}+) ?(?:\d{{6,8}}"
        rf"|\d{{3,4}}{_GAP}{{1,2}}\d{{3,4}}|\d{{2,3}}(?:{_GAP}\d{{2,3}}){{2}}){_NOT_AFTER}",
        0.8,
    ),
    _Rule(
        "PHONE_NUMBER",
        rf"{_NOT_BEFORE}[0O][1-9]\d{{0,3}} (?:\d{{6,8}}|\d{{3,4}}[ -]\d{{3,4}}"
        rf"|\d{{3}} \d{{2}} \d{{2}}){_NOT_AFTER}",
        0.7,
    ),
    _Rule("PHONE_NUMBER", rf"{_NOT_BEFORE}0[1-9](?:[ .-]\d\d){{4}}{_NOT_AFTER}", 0.7),
    _Rule("PHONE_NUMBER", rf"{_NOT_BEFORE}0[1-9]\d{{7,9}}(?!\w|[.,]\d)", 0.6),
    _Rule(  # country code without its plus: 603-62592420, 1-01-147902
        "PHONE_NUMBER",
        rf"(?<![\d.,/-])(?:60\d{{1,2}}[ -]?\d{{3,4}}[ -]?\d{{4}}|\d{{1,3}}-\d{{2,3}}-\d{{6,8}})"
        rf"{_NOT_AFTER}",
        0.6,
    ),
    _Rule(
        "PHONE_NUMBER",
        rf"(?<![\d.,/-])(?:(?:00)?1[ .-])?(?:\(\d{{3}}\) ?|\d{{3}}[ .–-])\d{{3}}[ .–-]\d{{4}}"
        rf"(?: ?(?:x|(?i:ext)\.?) ?\d{{1,5}}\b)?{_NOT_AFTER}",
        0.8,
    ),
    _Rule("PHONE_NUMBER", rf"(?<![\w.,/-])[2-9]\d{{2}}[–-]\d{{4}}(?![\w/-]){_NOT_AFTER}", 0.5),
    _Rule("PHONE_NUMBER", rf"{_NOT_BEFORE}[2-9]\d{{2}}[2-9]\d{{6}}(?!\w|[.,]\d)", 0.5),
    _Rule(
        "PHONE_NUMBER",
        rf"{_NOT_BEFORE}1[ -]?[38]00[ -]\d{{2,3}}[ -]?\d{{2,4}}(?:[ -]\d{{2,4}})?{_NOT_AFTER}",
        0.8,
    ),
    _Rule(
        "PHONE_NUMBER",
        rf"{_NOT_BEFORE}(?:[6-9]\d{{4}}[ -]?\d{{5}}|\(0\d{{1,4}}\) ?\d{{4,8}})(?!\w|[.,]\d)",
        0.5,
    ),
    _Rule(
        "ADDRESS",
        rf"\b\d{{1,6}}[A-Za-z]?(?:[-/]\d+[A-Za-z]?)?,? (?:[NSEW]\.? )?"
        rf"(?:{_CAPITALISED} |\d+(?i:st|nd|rd|th) ){{1,4}}?(?:{_STREETS}|{_STREETS.upper()})\b\.?"
        r"(?:,? (?:Apt|Suite|Ste|Unit|Flat|Floor|APT|SUITE|UNIT|#)\.? ?#?\w+)?"
        rf"(?:,?[ \n](?:{_CAPITALISED} ?){{1,3}},? (?:{_STATES})\.? \d{{5}}(?:-\d{{4}})?)?",
        0.8,
    ),
    _Rule(
        "ADDRESS",
        rf"\b(?:{_CAPITALISED} ){{0,2}}{_CAPITALISED},? (?:{_STATES})\.? \d{{5}}(?:-\d{{4}})?\b",
        0.7,
    ),
    _Rule("ADDRESS", rf"{_CAPITALISED},? [A-Z]{{1,2}}\d[A-Z\d]? \d[A-Z]{{2}}\b", 0.6),
    _Rule("ADDRESS", r"(?i:\bP\.? ?O\.? ?Box \d+)", 0.8),
    _Rule(  # German, French, Spanish and Italian streets
        "ADDRESS",
        r"\b[A-ZÄÖÜ][\wäöüß-]*(?i:straße|strasse|str\.|weg|platz|allee|gasse|-ring) \d{1,4}[a-z]?\b"
        r"|\b\d{1,4}(?: ?bis| ?ter)?,? (?:rue|avenue|boulevard|place|chemin) "
        rf"(?:(?:de|du|des|la|le|les) |d'|l')*{_CAPITALISED}"
        r"|\b(?:Calle|Via|Rua|Avenida|Plaza|Piazza) (?:\w+ ){1,3}\d{1,4}\b",
        0.7,
    ),
    _Rule(
        "ADDRESS",
        rf"(?<!\S)(?:[^\n:]{{0,30}}?{_JALAN}|(?=[^\n]*[A-Z\d])[^\n:]{{0,30}}?{_TAMAN})[^\n:]{{2,60}}"
        rf"{_ONWARD}{{0,4}}",
        0.7,
    ),
    _Rule(
        "ADDRESS",
        rf"(?<!\S)[^\n:\d]{{0,25}}\b\d{{5}},? ?(?=[A-Z])[^\n:\d]{{0,40}}?{_MALAYSIA}"
        r"[^\n:\d]{0,30}",
        0.7,
    ),
    _Rule(
        "ADDRESS",
        rf"\b\d{{1,4}}[A-Z]?,? ?[S$]S ?\d{{1,2}}/\d{{1,3}}[A-Z]?\b,?{_ONWARD}{{0,2}}",
        0.7,
    ),
)

# --- People --------------------------------------------------------------------------------------

_NAME = r"[A-ZÀ-Þ][\w'’-]*\.?"
_TITLED = re.compile(
    r"\b(?i:mrs?|ms|miss|mdm|madam|dr|prof|professor|encik|puan|cik|datuk|dato|datin|herr|frau|mme"
    rf"|monsieur)\b\.? (?P<name>{_NAME}(?: {_NAME}){{0,3}})"
)
_LABELLED = re.compile(
    r"(?<!(?i:product) )(?<!(?i:company) )(?<!(?i:file) )(?<!(?i:shop) )(?<!(?i:store) )"
    r"\b(?i:(?:full |first |last |customer |patient |employee |contact )?name|customer|cashier|attn"
    r"|attention|signed(?: by)?|signature|patient|employee|sales ?person|sales ?man|served by"
    r"|server|staff|operator|contact person|bill to|ship to|sold to|prepared by|approved by|author"
    r"|owner|waiter|waitress|guest|member|dear|regards|sincerely"
    r"|(?P<role>chair|minutes|host|speaker|presenter|organi[sz]er|moderator|reviewer|editor"
    r"|photo by|photographer|tutor|manager|director|tenant|landlord|lessee|lessor|witness|payee"
    r"|beneficiary|holder|passenger|driver|recipient|sender|applicant|insured|nurse|doctor|physician"
    r"|next of kin))"
    rf"(?P<mark>[ ]?[:=#-]+[ ]?|[ ,]+)(?P<name>{_NAME}(?: {_NAME}){{0,3}})"
)
_FILIATION = re.compile(
    rf"\b{_NAME}(?: {_NAME})?,? (?i:bin|binti|bte|a/l|a/p|s/o|d/o) {_NAME}(?: {_NAME})?"
)
_TOKEN = re.compile(r"[^\W\d_](?:[\w'’-]*\w)?")
_SYLLABLE = re.compile(
    r"(?:[bcdfghjklmnpqrstwxyz]|[cgknpstwz]h|ng|hs|ts|kw)[aeiou]{1,3}[hkmnptwy]?[ng]?n?"
)


def _people(text: str) -> Iterator[tuple[int, int, float]]:
    """Yield (start, end, score) of names: announced, by descent, or known to the lists."""
    names = gazetteer()
    known = names.first | names.last | names.chinese
    for match in _TITLED.finditer(text):
        if not _company(text, match.end()):
            yield match.start(), match.end(), 0.85
    for match in _LABELLED.finditer(text):
        words = [fold(w) for w in match["name"].split()]
        # A role may as well head a line about a thing, so there the name must be a known one.
        marked = match["mark"].strip() not in ("", ",") and not match["role"]
        if words[0] in names.roles or len(words[0]) < 2 or _company(text, match.end()):
            continue
        if marked or (words[0] in known and words[0] not in names.words):
            yield *match.span("name"), 0.8
    for match in _FILIATION.finditer(text):
        yield *match.span(), 0.85
    offset = 0
    for line in text.split("\n"):
        for start, end, score in _listed(line):
            yield offset + start, offset + end, score
        offset += len(line) + 1


def _listed(line: str) -> Iterator[tuple[int, int, float]]:
    """Yield the runs of words on one line that the lists know as a full name."""
    names = gazetteer()
    tokens = [(m.start(), m.end(), fold(m[0]), m[0]) for m in _TOKEN.finditer(line)]
    at = 0
    while at < len(tokens) - 1:
        span = _chinese(line, tokens, at) or _western(line, tokens, at, names.first, names.last)
        if span and not _company(line, tokens[span - 1][1]):
            yield tokens[at][0], tokens[span - 1][1], 0.6
            at = span
        else:
            at += 1


_Token = tuple[int, int, str, str]


def _adjacent(line: str, left: _Token, right: _Token) -> bool:
    """Whether only a blank, or a dot or comma and one, lies between two words."""
    return line[left[1] : right[0]] in (" ", ". ", ", ")


def _western(
    line: str, tokens: list[_Token], at: int, first: frozenset[str], last: frozenset[str]
) -> int:
    """Return the token after First [Middle] Last, or Last, First, starting at `at`; else 0."""
    words, business = gazetteer().words, gazetteer().business

    def pair(a: _Token, b: _Token) -> bool:
        if not (a[3][0].isupper() and b[3][0].isupper()) or a[3].isupper() != b[3].isupper():
            return False
        if len(a[2]) < 3 or len(b[2]) < 3 or a[2] in words or b[2] in business:
            return False
        return _among(first, a[2]) and _among(last, b[2])

    left, right = tokens[at], tokens[at + 1]
    if not _adjacent(line, left, right):
        return 0
    comma = "," in line[left[1] : right[0]]
    if pair(right, left) if comma else pair(left, right):
        return at + 2
    if at + 2 < len(tokens) and not comma and _adjacent(line, right, tokens[at + 2]):
        middle = len(right[2]) == 1 or right[2] in first
        if middle and right[3][0].isupper() and pair(left, tokens[at + 2]):
            return at + 3
    return 0


def _among(names: frozenset[str], name: str) -> bool:
    """Whether a name, or each part of a hyphenated one, is listed."""
    return name in names or all(part in names for part in name.split("-"))


def _chinese(line: str, tokens: list[_Token], at: int) -> int:
    """Return the token after a romanised family name and two given syllables, or 0.

    In lower case, as one may be typed on a scan, the name must have its line to itself.
    """
    names = gazetteer()
    run = tokens[at : at + 3]
    if len(run) < 3 or run[0][2] not in names.chinese:
        return 0
    if any(line[a[1] : b[0]] != " " for a, b in pairwise(run)):
        return 0
    given = [t[2] for t in run[1:]]
    if not all(_SYLLABLE.fullmatch(g) for g in given) or max(map(len, given)) < 3:
        return 0
    if any(g in names.words for g in given) or names.business & {t[2] for t in run}:
        return 0
    lower = all(t[3].islower() for t in run)
    same = lower or all(t[3].isupper() for t in run) or all(t[3].istitle() for t in run)
    alone = at == 0 and (not lower or len(tokens) <= 4)
    return at + 3 if same and (alone or not lower) else 0


def _company(text: str, end: int) -> bool:
    """Whether the words right after `end` make what precedes them the name of a business."""
    rest = re.split(r"[\n,;:\d]", text[end : end + 40])[0]
    return not gazetteer().business.isdisjoint(re.findall(r"[a-z]+", rest.lower())[:5])


# --- The engine ----------------------------------------------------------------------------------

_building = threading.Lock()


def _engine() -> Any:
    """The process's Presidio engine; building it takes seconds."""
    with _building:
        return _build()


@cache
def _build() -> Any:
    import spacy
    from presidio_analyzer import (
        AnalyzerEngine,
        EntityRecognizer,
        Pattern,
        PatternRecognizer,
        RecognizerRegistry,
        RecognizerResult,
    )
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Blank(SpacyNlpEngine):
        """Presidio wants an engine of language; the recognizers here do without."""

        def load(self) -> None:
            self.nlp: Any = {"en": spacy.blank("en")}

        def process_text(self, text: str, language: str) -> Any:
            # No recognizer here looks at tokens, and making them takes longer than the patterns.
            return super().process_text("", language)

    class Checked(PatternRecognizer):
        """A rule as Presidio runs it."""

        def __init__(self, rule: _Rule, name: str) -> None:
            self.check = rule.check
            pattern = Pattern(name, rule.pattern, rule.score)
            super().__init__(rule.entity, name=name, patterns=[pattern], global_regex_flags=0)

        def validate_result(self, pattern_text: str) -> bool | None:
            return None if self.check is None or self.check(pattern_text) else False

    class People(EntityRecognizer):
        """Names by their context and by the lists."""

        def load(self) -> None:
            gazetteer()

        def analyze(self, text: str, entities: Any, nlp_artifacts: Any) -> list[Any]:
            return [RecognizerResult("PERSON", *hit) for hit in _people(text)]

    engine = Blank()
    engine.load()
    recognizers = [Checked(rule, f"{rule.entity} {i}") for i, rule in enumerate(_RULES)]
    registry = RecognizerRegistry(
        recognizers=[*recognizers, People(["PERSON"], name="PERSON")], supported_languages=["en"]
    )
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


CODE = (sys.modules[__name__], names)
"""The code that decides what is found."""

"""Personal data in speech: one set of findings masks the transcript and silences the sound."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.errors import residual_finding
from pipelines.models.protocols import RATE, SpokenWord
from pipelines.privacy import spoken_forms, spoken_names, spoken_numbers, spoken_words
from pipelines.privacy.pii import Detector
from pipelines.privacy.spoken_forms import as_said, write_out
from pipelines.privacy.spoken_words import is_mask

MARGIN_S = 0.2
"""What is silenced before and after a finding: recognisers place words no better than this."""

_WINDOW, _SHARED = 300, 60  # tokens
_FURTHER = 2  # hearings, after the first, that may still add to what is silenced
_DICTATED = 0.5  # score of a number that only its length gives away


@dataclass(frozen=True)
class SpokenFinding:
    """A private value of kind `entity`, spoken from `start_s` to `end_s`; `score` is 0..1."""

    entity: str
    score: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class RedactedSpeech:
    """A transcript with a mask such as `<PERSON>` for each finding, and the findings.

    A finding within a phrase (a subtitle) has the time of the whole phrase, whose other words stay.
    """

    words: tuple[SpokenWord, ...]
    findings: tuple[SpokenFinding, ...]


@dataclass(frozen=True)
class _Hit:
    """A finding in tokens [first, last)."""

    entity: str
    score: float
    first: int
    last: int


def redact_speech(
    words: Sequence[SpokenWord],
    detector: Detector,
    listen_again: Callable[[Sequence[SpokenFinding]], Sequence[SpokenWord]] | None = None,
) -> RedactedSpeech:
    """Mask all that is found in a transcript, also what is only heard once that is silent.

    `listen_again` returns what is recognised around the findings in the silenced sound. Raises
    ResidualFinding when it goes on hearing something, or for a finding that takes no time.
    """
    masked, findings = _masked(list(words), detector)
    if listen_again is None or not findings:
        return RedactedSpeech(tuple(masked), tuple(findings))
    for _ in range(1 + _FURTHER):
        heard = _with_masks(listen_again(findings), findings)
        _, more = _masked(heard, detector)
        if not more:
            return RedactedSpeech(tuple(masked), tuple(findings))
        masked, more = _covered(masked, more)
        masked, further = _masked(masked, detector)
        findings = _sorted([*findings, *more, *further])
    raise residual_finding(f.entity for f in more)


def silence(samples: np.ndarray, start_s: float, findings: Iterable[SpokenFinding]) -> np.ndarray:
    """Return a copy of int16 (samples,) at 16 kHz that begin at `start_s`, findings exactly zero.

    So is a margin of `MARGIN_S` on both sides of each.
    """
    silent = samples.copy()
    for finding in findings:
        first = int(np.floor((finding.start_s - MARGIN_S - start_s) * RATE))
        last = int(np.ceil((finding.end_s + MARGIN_S - start_s) * RATE))
        silent[max(0, first) : max(0, last)] = 0
    return silent


def _masked(
    words: list[SpokenWord], detector: Detector
) -> tuple[list[SpokenWord], list[SpokenFinding]]:
    """Replace all findings by masks until nothing is found any more."""
    findings: list[SpokenFinding] = []
    while True:
        tokens = [token for word in words for token in word.text.split()]
        if not (hits := _hits(tokens, detector)):
            return words, findings
        words, new = _replaced(words, hits)
        findings = _sorted([*findings, *new])


def _hits(tokens: Sequence[str], detector: Detector) -> list[_Hit]:
    """Find private data in tokens: sorted, without overlaps.

    Windows keep the detector quick, which takes its time for long lines.
    """
    hits: list[_Hit] = []
    for start in range(0, max(1, len(tokens) - _SHARED), _WINDOW - _SHARED):
        hits += (
            replace(hit, first=start + hit.first, last=start + hit.last)
            for hit in _hits_within(tokens[start : start + _WINDOW], detector)
        )
    united: list[_Hit] = []
    for hit in sorted(hits, key=lambda h: h.first):
        if united and hit.first < united[-1].last:
            old = united.pop()
            best = max(old, hit, key=lambda h: (h.score, h.last - h.first))
            hit = replace(best, first=old.first, last=max(old.last, hit.last))
        united.append(hit)
    return united


def _hits_within(tokens: Sequence[str], detector: Detector) -> Iterator[_Hit]:
    """Yield what is found in tokens as they are and as written out."""
    for written in (as_said(tokens), write_out(tokens)):
        for finding in detector.find(written.text):
            first, last = written.tokens(finding.start, finding.end)
            yield _Hit(finding.entity, finding.score, first, last)
        if "PHONE_NUMBER" in detector.entities:
            for first, last in written.numbers:
                yield _Hit("PHONE_NUMBER", _DICTATED, first, last)


def _replaced(
    words: Sequence[SpokenWord], hits: Sequence[_Hit]
) -> tuple[list[SpokenWord], list[SpokenFinding]]:
    """Put one mask per finding: into the phrase it begins in, or for the words it consists of."""
    told: list[SpokenWord] = []
    touched: dict[_Hit, list[SpokenWord]] = {hit: [] for hit in hits}
    at, pending = 0, iter([*hits, _Hit("", 0, 1 << 62, 1 << 62)])
    hit = next(pending)
    for word in words:
        texts: list[str] = []
        alone = True
        for token in word.text.split():
            if at >= hit.last:
                hit = next(pending)
            if at < hit.first:
                texts.append(token)
                alone = False
            elif not touched[hit] or touched[hit][-1] is not word:
                if not touched[hit]:
                    texts.append(f"<{hit.entity}>")
                touched[hit].append(word)
            at += 1
        if texts:
            confidence = None if alone else word.confidence
            told.append(SpokenWord(" ".join(texts), word.start_s, word.end_s, confidence))
        elif word.text.strip():  # all of it belongs to the mask before
            told[-1] = replace(told[-1], end_s=max(told[-1].end_s, word.end_s))
    findings = [
        SpokenFinding(
            hit.entity,
            hit.score,
            min(word.start_s for word in covered),
            max(word.end_s for word in covered),
        )
        for hit, covered in touched.items()
    ]
    if lost := [f for f in findings if not f.end_s > f.start_s]:
        raise residual_finding(f.entity for f in lost)
    return told, findings


def _with_masks(heard: Iterable[SpokenWord], findings: Iterable[SpokenFinding]) -> list[SpokenWord]:
    """Put masks where nothing is heard any more, so that what is said around does not join up."""
    return sorted([*heard, *map(_mask, findings)], key=lambda word: word.start_s)


def _covered(
    words: Sequence[SpokenWord], findings: Sequence[SpokenFinding]
) -> tuple[list[SpokenWord], list[SpokenFinding]]:
    """Mask the words at the times of findings, which grow to all that these words take."""
    told, grown = list(words), []
    for finding in findings:
        within = [w for w in told if w.start_s < finding.end_s and finding.start_s < w.end_s]
        within = [w for w in within if not is_mask(w.text)]
        finding = replace(
            finding,
            start_s=min([finding.start_s, *(word.start_s for word in within)]),
            end_s=max([finding.end_s, *(word.end_s for word in within)]),
        )
        grown.append(finding)
        told = _with_masks([word for word in told if word not in within], [finding])
    return told, grown


def _mask(finding: SpokenFinding) -> SpokenWord:
    return SpokenWord(f"<{finding.entity}>", finding.start_s, finding.end_s)


def _sorted(findings: Iterable[SpokenFinding]) -> list[SpokenFinding]:
    return sorted(findings, key=lambda finding: (finding.start_s, finding.end_s))


CODE = (sys.modules[__name__], spoken_forms, spoken_names, spoken_numbers, spoken_words)
"""The code that decides what is found in speech, beside the detector's."""

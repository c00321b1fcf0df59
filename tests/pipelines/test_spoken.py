import json
import re
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ResidualFinding
from pipelines.models.protocols import SpokenWord
from pipelines.models.speech import PocketSphinxRecognizer
from pipelines.models.voice import VoiceActivity
from pipelines.privacy.names import gazetteer
from pipelines.privacy.pii import Detector
from pipelines.privacy.spoken import MARGIN_S, SpokenFinding, redact_speech, silence
from pipelines.reading.sound import RATE
from pipelines.reading.transcribing import transcribe
from tests.running import needs_media
from tests.speaking import speak

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

MASKED = {
    "my name is john smith call me at five five five oh one nine nine": (
        "my name is <PERSON> call me at <PHONE_NUMBER>"
    ),
    "my name is will smith and i work at the hospital": (
        "my name is <PERSON> and i work at the hospital"
    ),
    "this is anna maria speaking": "this is <PERSON> speaking",
    "hi maria how are you": "hi <PERSON> how are you",
    "and mister john dashwood had then leisure": "and mister <PERSON> had then leisure",
    "and mr john guess would have been": "and mr <PERSON> would have been",
    "mister smith called and mrs jones went home": (
        "mister <PERSON> called and mrs <PERSON> went home"
    ),
    "missus quillfeather said so": "missus <PERSON> said so",
    "i am um siti nurhaliza and i sing": "i am um <PERSON> and i sing",
    "john smith's hat": "<PERSON> hat",
    "the caller robert brown was upset": "the caller <PERSON> was upset",
    "My name is John. Thanks for calling": "My name is <PERSON> Thanks for calling",
    "my number is double five five uh oh one one nine nine bye": "my number is <PHONE_NUMBER> bye",
    "two one two five fifty five twelve thirty four please": "<PHONE_NUMBER> please",
    "one eight hundred five five five oh one nine nine": "<PHONE_NUMBER>",
    "oh twenty seventy nine forty six oh nine fifty eight": "<PHONE_NUMBER>",
    "dial 5 5 5 - 0 1 9 9 now": "dial <PHONE_NUMBER> now",
    "it is 555 0199.": "it is <PHONE_NUMBER>",
    "five five five to one for nine": "<PHONE_NUMBER>",
    "call five five five one two junk": "call <PHONE_NUMBER> junk",
    "five five five junk oh one nine nine": "<PHONE_NUMBER>",
    "card four one one one one one one one one one one one one one one one ok": (
        "card <CREDIT_CARD> ok"
    ),
    "my social security number is one two three dash four five dash six seven eight nine": (
        "my social security number is <US_SSN>"
    ),
    "d e eight nine three seven zero four double oh double four oh five three two oh one three"
    " triple oh": "<IBAN_CODE>",
    "one nine two dot one six eight dot zero dot one": "<IP_ADDRESS>",
    "mail me at john dot smith at example dot com please": "mail me at <EMAIL_ADDRESS> please",
    "it is jane underscore doe nine at g mail dot co dot uk": "it is <EMAIL_ADDRESS>",
    "write to jane at example.com": "write to <EMAIL_ADDRESS>",
    "i live at two twenty one b baker street in london": "i live at <ADDRESS> in london",
    "he lives at one hundred and twelve oak street": "he lives at <ADDRESS>",
    "mail jane.doe@example.com or ask John Smith": "mail <EMAIL_ADDRESS> or ask <PERSON>",
}

HARMLESS = [
    "three hundred and thirty one years ago",
    "five five",
    "eight of spades four of clubs seven of hearts",
    "go forward ten meters",
    "from nineteen eighty four to nineteen ninety nine",
    "in nineteen oh four nineteen oh five",
    "from four fifteen to five forty five and six thirty",
    "one million two hundred thirty four thousand five hundred sixty seven people",
    "three point one four one five nine",
    "look at example dot com",
    "a one way street and a five minute drive down the road",
    "i am sorry to hear that i'm going home",
    "this is so nice this is your captain speaking",
    "the name is not known my name is not important",
    "will you mark the grace of may",
    "miss the bus and call me later",
    "call me at five thirty or at six",
    "in 1939 1945 there were 1,000,000 people and 25 000 more on 20/11/2026",
]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


def spoken(text: str, start_s: float = 0.0) -> list[SpokenWord]:
    """One word every 0.4 s, each for 0.3 s."""
    return [
        SpokenWord(word, start_s + 0.4 * at, start_s + 0.4 * at + 0.3, 0.8)
        for at, word in enumerate(text.split())
    ]


def told(words: Sequence[SpokenWord]) -> str:
    return " ".join(word.text for word in words)


@pytest.mark.parametrize("text", MASKED)
def test_spoken_data_is_masked(detector: Detector, text: str) -> None:
    words = spoken(text)
    redacted = redact_speech(words, detector)
    assert told(redacted.words) == MASKED[text]
    masks = [word for word in redacted.words if word.text.startswith("<")]
    spans = [(f"<{f.entity}>", f.start_s, f.end_s) for f in redacted.findings]
    assert spans == [(mask.text, mask.start_s, mask.end_s) for mask in masks]
    assert [word for word in redacted.words if word not in masks] == [
        word for word in words if word in redacted.words
    ]


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_speech_stays(detector: Detector, text: str) -> None:
    words = spoken(text)
    redacted = redact_speech(words, detector, lambda findings: pytest.fail("nothing to hear"))
    assert redacted.words == tuple(words) and not redacted.findings


def test_real_speech_is_masked_where_it_names_somebody(detector: Detector) -> None:
    lines = (needs_media("speech") / "transcripts.jsonl").read_text().splitlines()
    for text in (json.loads(line)["transcript"] for line in lines):
        masked = told(redact_speech(spoken(text), detector).words)
        assert masked == text.replace("mister john dashwood", "mister <PERSON>")


FILLERS = ["", " ", " uh ", " um er ", " dash "]
BEFORE = ["", "well you can reach us here ", "the office opens at nine thirty call ", "it is "]
AFTER = ["", " thanks", " and then we left", " in nineteen eighty four", " before five"]


@settings(max_examples=150, deadline=None)
@given(
    st.text("0123456789", min_size=7, max_size=12),
    st.lists(st.sampled_from(FILLERS), min_size=12, max_size=12),
    st.sampled_from(BEFORE),
    st.sampled_from(AFTER),
    st.booleans(),
)
def test_no_dictated_number_survives(
    number: str, fillers: list[str], before: str, after: str, oh: bool
) -> None:
    said = ["oh" if oh and digit == "0" else DIGITS[int(digit)] for digit in number]
    dictated = "".join(f"{word} {filler} " for word, filler in zip(said, fillers, strict=False))
    words = spoken(before + dictated + after)
    redacted = redact_speech(words, Detector())
    count = len(dictated.split())
    first = len(before.split())
    last = first + count - next(i for i, w in enumerate(reversed(dictated.split())) if w in said)
    assert redacted.words[:first] == tuple(words[:first])
    assert told(redacted.words).endswith(after)
    assert any(
        f.start_s <= words[first].start_s and words[last - 1].end_s <= f.end_s
        for f in redacted.findings
    )
    left = [word.text for word in redacted.words]
    assert not any(
        word in DIGITS or word == "oh" for word in left[first : len(left) - len(after.split())]
    )


def listed(last: bool = False) -> st.SearchStrategy[str]:
    """Names that are no ordinary words; the lists are read when a test runs."""
    lists = gazetteer()
    known = (lists.last if last else lists.first) - lists.words
    return st.sampled_from(sorted(name for name in known if len(name) > 3))


FIRST, LAST = st.deferred(listed), st.deferred(lambda: listed(last=True))


@settings(max_examples=150, deadline=None)
@given(
    FIRST,
    LAST,
    st.sampled_from(
        ["my name is {} {} and i live here", "it was mister {} {} who called", "the name is {} {}"]
    ),
)
def test_no_announced_name_survives(first: str, last: str, sentence: str) -> None:
    text = sentence.format(first, last)
    masked = told(redact_speech(spoken(text), Detector()).words)
    assert masked == sentence.format("<PERSON>", "").replace("  ", " ").strip()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(FIRST | st.sampled_from(["info", "x", "nine", "blue"]), min_size=1, max_size=3),
    st.sampled_from(["dot", "underscore", "dash"]),
    st.lists(st.sampled_from(["example", "mail", "big company"]), min_size=1, max_size=2),
    st.sampled_from(["com", "org", "co dot uk"]),
)
def test_no_spelled_mailbox_survives(
    local: list[str], mark: str, host: list[str], domain: str
) -> None:
    address = f"{f' {mark} '.join(local)} at {' dot '.join(host)} dot {domain}"
    masked = redact_speech(spoken(f"please write to {address} today"), Detector())
    assert told(masked.words) == "please write to <EMAIL_ADDRESS> today"


def test_phrases_keep_what_is_not_private_and_have_their_whole_time(detector: Detector) -> None:
    cues = [
        SpokenWord("You can call me at five", 0.0, 2.0),
        SpokenWord("five five - oh one", 2.5, 4.0),
        SpokenWord("nine nine after lunch.", 4.0, 6.0),
        SpokenWord("Ask for John Smith, please.", 9.0, 11.0),
    ]
    redacted = redact_speech(cues, detector)
    assert redacted.words == (
        SpokenWord("You can call me at <PHONE_NUMBER>", 0.0, 4.0),
        SpokenWord("after lunch.", 4.0, 6.0),
        SpokenWord("Ask for <PERSON> please.", 9.0, 11.0),
    )
    spans = [(f.entity, f.start_s, f.end_s) for f in redacted.findings]
    assert spans == [("PHONE_NUMBER", 0.0, 6.0), ("PERSON", 9.0, 11.0)]


def test_kinds_can_be_chosen() -> None:
    text = "my name is john smith call five five five oh one nine nine"
    people = redact_speech(spoken(text), Detector(["PERSON"]))
    assert told(people.words) == "my name is <PERSON> call five five five oh one nine nine"
    nobody = redact_speech(spoken(text), Detector(["CREDIT_CARD"]))
    assert told(nobody.words) == text


def test_findings_anywhere_in_long_speech(detector: Detector) -> None:
    plain = "we talk and talk about the weather of the week "
    number = " ".join(["seven"] * 9)
    text = f"{plain * 26}mister smith {plain * 5}{number} {plain * 40}my name is anna"
    masked = told(redact_speech(spoken(text), detector).words)
    assert masked == text.replace("smith", "<PERSON>").replace(number, "<PHONE_NUMBER>").replace(
        "anna", "<PERSON>"
    )


def test_a_finding_that_takes_no_time_is_refused(detector: Detector) -> None:
    for end_s in (1.0, 0.5, float("nan")):
        with pytest.raises(ResidualFinding, match="1 EMAIL_ADDRESS") as caught:
            redact_speech([SpokenWord("a.b@example.com", 1.0, end_s)], detector)
        assert "example" not in str(caught.value)


class Hears:
    """Says what it hears at each listening, then nothing, and keeps what was silent by then."""

    def __init__(self, *heard: list[SpokenWord]) -> None:
        self.heard = list(heard)
        self.silent: list[Sequence[SpokenFinding]] = []

    def __call__(self, findings: Sequence[SpokenFinding]) -> list[SpokenWord]:
        self.silent.append(findings)
        return self.heard.pop(0) if self.heard else []


def test_what_only_a_further_hearing_finds_is_masked_too(detector: Detector) -> None:
    words = spoken("my name is john smith you know it is fine fine fine wine line line nine ok")
    ear = Hears(
        [*spoken("my name is"), *spoken("oh five five five one nine nine", 3.55)],
        [SpokenWord("a.b@example.com", 20.0, 21.0)],
    )
    redacted = redact_speech(words, detector, ear)
    assert told(redacted.words) == (
        "my name is <PERSON> you know it is <PHONE_NUMBER> ok <EMAIL_ADDRESS>"
    )
    assert [len(silent) for silent in ear.silent] == [1, 2, 3]
    number, mail = redacted.findings[1:]
    assert number.start_s <= words[9].start_s and words[15].end_s <= number.end_s
    assert (mail.start_s, mail.end_s) == (20.0, 21.0)
    assert [word for word in redacted.words if word.text == "ok"] == words[-1:]


def test_listening_ends(detector: Detector) -> None:
    again = spoken("mister jones", 30.0)
    ear = Hears(again, again, again, again)
    with pytest.raises(ResidualFinding, match="1 PERSON"):
        redact_speech(spoken("mister smith"), detector, ear)
    assert len(ear.silent) == 3


def test_what_is_silent_keeps_apart_what_is_around_it(detector: Detector) -> None:
    ear = Hears([*spoken("my name is"), *spoken("zumwalt", 1.9), *spoken("five five", 2.6)])
    redacted = redact_speech(spoken("my name is john zumwalt five five"), detector, ear)
    assert told(redacted.words) == "my name is <PERSON> five five"
    assert len(ear.silent) == 1


def test_silence_is_exact() -> None:
    loud = np.full(10 * RATE, 1000, np.int16)
    findings = [
        SpokenFinding("PERSON", 1, 7.0, 8.0),
        SpokenFinding("PERSON", 1, 3.0, 5.1),
        SpokenFinding("PERSON", 1, 14.9, 99.0),
        SpokenFinding("PERSON", 1, 0.0, 4.0),
        SpokenFinding("PERSON", 1, 20.0, 21.0),
    ]
    silent = silence(loud, 5.0, findings)
    times = 5.0 + np.arange(len(loud)) / RATE
    zero = (times < 5.1 + MARGIN_S) | ((times >= 7 - MARGIN_S) & (times < 8 + MARGIN_S))
    zero |= times >= 14.9 - MARGIN_S
    extra = np.count_nonzero(silent == 0) - np.count_nonzero(zero)
    assert not silent[zero].any() and 0 <= extra <= 4, "at most one sample more at each end"
    assert silent.dtype == np.int16 and (loud == 1000).all()


def heard_by_machine() -> Callable[[np.ndarray], list[SpokenWord]]:
    voice, recognizer = VoiceActivity(), PocketSphinxRecognizer()
    return lambda samples: list(transcribe([samples], voice, recognizer).words)


def check_planted(samples: np.ndarray, kinds: list[str], value: str) -> None:
    """Redact a recording and hear it again: nothing is left, in text or in sound."""
    hear, detector = heard_by_machine(), Detector()
    words = hear(samples)
    assert re.search(value, told(words)), told(words)
    redacted = redact_speech(words, detector, lambda f: hear(silence(samples, 0.0, f)))
    assert not re.search(value, told(redacted.words))
    assert [f.entity for f in redacted.findings] == kinds
    silent = silence(samples, 0.0, redacted.findings)
    for finding in redacted.findings:
        first, last = round(finding.start_s * RATE), round(finding.end_s * RATE)
        assert last > first and samples[first:last].any() and not silent[first:last].any()
    again = hear(silent)
    assert not re.search(value, told(again))
    assert redact_speech(redacted.words, detector).findings == ()


def clip(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@pytest.mark.slow
def test_planted_synthetic_speech_is_silent_afterwards() -> None:
    said = speak(
        "my name is robert brown and my phone number is five five five two three four seven eight"
        " nine today",
        "en-us+f5",
        140,
    )
    check_planted(said, ["PERSON", "PHONE_NUMBER"], "robert|two three four")


@pytest.mark.slow
def test_planted_real_speech_is_silent_afterwards() -> None:
    speech = needs_media("speech")
    five_five = clip(speech / "cards/cards_004.wav")
    novel = clip(speech / "librivox/sense_and_sensibility_01_austen_64kb-0870.wav")
    check_planted(
        np.concatenate([novel, *[five_five] * 4]), ["PERSON", "PHONE_NUMBER"], "john|five five five"
    )

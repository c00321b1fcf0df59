"""A recording's words stand on one clock, once each, and are recognised a little at a time."""

from collections.abc import Iterator, Sequence

import jiwer
import numpy as np
import pytest
from running import needs_media
from spoken_clips import spoken_clips

from pipelines.models.protocols import Heard, Identity, SpokenWord
from pipelines.models.speech import PocketSphinxRecognizer
from pipelines.models.voice import RATE, Utterance, VoiceActivity
from pipelines.reading.transcribing import GROUP_S, Transcript, transcribe


class Splits(VoiceActivity):
    """Utterances that the test names; the sound says where it is from by its values."""

    def __init__(self, *spans: tuple[float, float]) -> None:
        self._spans = spans

    def utterances(self, blocks: object) -> Iterator[Utterance]:
        for start, end in self._spans:
            yield Utterance(start, np.arange(int(start * RATE), int(end * RATE), dtype=np.int64))


class Tells:
    """Hears a word every second of the recording, as far as an utterance holds it whole."""

    identity = Identity("tells", "1", "", "", 0, "float32")

    def __init__(self, late: float = 0.0, language: str | None = "en") -> None:
        self.calls: list[int] = []
        self._late, self._language = late, language

    def recognise(self, utterances: Sequence[np.ndarray]) -> list[Heard]:
        self.calls.append(len(utterances))
        return [Heard(tuple(self._words(samples)), self._language) for samples in utterances]

    def _words(self, samples: np.ndarray) -> Iterator[SpokenWord]:
        starts = samples[0] / RATE
        for second in range(int(np.ceil(starts)), int((samples[-1] + 1) / RATE)):
            late = self._late if starts else 0.0
            at = second - starts + late
            yield SpokenWord(f"{second}", max(at, 0.0), max(at, 0.0) + 0.8, 0.5)


def heard(voice: VoiceActivity, recognizer: Tells | None = None) -> Transcript:
    return transcribe([], voice, recognizer or Tells())


def test_words_have_times_in_the_whole_recording() -> None:
    transcript = heard(Splits((10, 12), (50, 51)))

    assert [(word.text, word.start_s, word.end_s) for word in transcript.words] == [
        ("10", 10, 10.8),
        ("11", 11, 11.8),
        ("50", 50, 50.8),
    ]
    assert (transcript.language, transcript.spoken_s) == ("en", 3.0)


@pytest.mark.parametrize("late", [-0.3, -0.1, 0.0, 0.1, 0.3])
@pytest.mark.parametrize("middle", [28.0, 28.25, 28.4, 28.5, 28.9])
def test_what_two_utterances_hear_appears_once(late: float, middle: float) -> None:
    transcript = heard(Splits((0, middle + 2), (middle - 2, 40)), Tells(late))

    assert [word.text for word in transcript.words] == [str(second) for second in range(40)]
    assert transcript.spoken_s == 40.0


def test_long_recordings_are_recognised_in_groups_and_told_of() -> None:
    recognizer, told = Tells(), list[float]()
    spans = [(start * 40.0, start * 40.0 + 30) for start in range(9)]

    transcribe([], Splits(*spans), recognizer, told.append)

    a_group = int(GROUP_S / 30)
    assert recognizer.calls == [a_group, a_group, 1]
    assert told == [spans[a_group - 1][1], spans[2 * a_group - 1][1], spans[-1][1]]


def test_without_speech_there_is_nothing() -> None:
    noise = (3000 * np.random.default_rng(0).standard_normal(5 * RATE)).astype(np.int16)
    silence = np.zeros(5 * RATE, np.int16)

    transcript = transcribe([noise, silence], VoiceActivity(), PocketSphinxRecognizer())

    assert transcript == Transcript((), None, 0.0)


@pytest.mark.slow
def test_real_speech_is_transcribed() -> None:
    clips = list(spoken_clips(needs_media("speech")))
    voice, recognizer = VoiceActivity(), PocketSphinxRecognizer()

    transcripts = [transcribe([clip.samples], voice, recognizer) for clip in clips]

    said = [" ".join(word.text for word in one.words) for one in transcripts]
    rate = jiwer.wer([clip.text for clip in clips], said)
    print(f"word error rate {rate:.3f} over {len(clips)} clips")
    assert rate <= 0.30
    for clip, one in zip(clips, transcripts, strict=True):
        ends = len(clip.samples) / RATE
        assert all(0 <= word.start_s < word.end_s <= ends for word in one.words)
        assert one.language == "en"

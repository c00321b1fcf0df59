"""Speech is found wherever it is, other sound is not, and the blocks it comes in do not matter."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from speaking import speak

from pipelines.errors import ModelUnavailable
from pipelines.models import voice
from pipelines.models.voice import RATE, Utterance, VoiceActivity

SECONDS = np.arange(6 * RATE) / RATE


@pytest.fixture(scope="module")
def activity() -> VoiceActivity:
    return VoiceActivity()


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.int16)


def melody() -> np.ndarray:
    notes = [262, 330, 392, 523, 494, 392, 349, 294] * 2
    time = np.arange(int(0.4 * RATE)) / RATE
    tone = [np.exp(-3 * time) * np.sin(2 * np.pi * note * time) for note in notes]
    return (8000 * np.concatenate(tone)).astype(np.int16)


def same(one: list[Utterance], other: list[Utterance]) -> bool:
    return len(one) == len(other) and all(
        a.start_s == b.start_s and np.array_equal(a.samples, b.samples)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    "sound",
    [
        silence(6),
        (8000 * np.sin(2 * np.pi * 440 * SECONDS)).astype(np.int16),
        (3000 * np.random.default_rng(0).standard_normal(len(SECONDS))).astype(np.int16),
        melody(),
        silence(0),
    ],
    ids=["silence", "tone", "noise", "melody", "nothing"],
)
def test_what_is_not_speech_gives_no_utterance(activity: VoiceActivity, sound: np.ndarray) -> None:
    assert list(activity.utterances([sound])) == []


def test_speech_is_found_where_it_is_whatever_the_blocks(activity: VoiceActivity) -> None:
    said = speak("the weather is good today")
    length = len(said) / RATE
    sound = np.concatenate([silence(5), said, silence(3), said, silence(2)])

    found = list(activity.utterances([sound]))

    starts = [5.0, 8.0 + length]
    assert [one.start_s for one in found] == pytest.approx(starts, abs=0.6)
    assert [one.end_s for one in found] == pytest.approx([at + length for at in starts], abs=0.6)
    for one in found:
        at = round(one.start_s * RATE)
        assert np.array_equal(one.samples, sound[at : at + len(one.samples)])
    cuts = np.random.default_rng(1).integers(0, len(sound), 300)
    assert same(found, list(activity.utterances(np.split(sound, np.sort(cuts)))))


def test_a_short_pause_stays_within_an_utterance(activity: VoiceActivity) -> None:
    said = speak("hello there")
    sound = np.concatenate([silence(1), said, silence(0.2), said, silence(1)])

    assert len(list(activity.utterances([sound]))) == 1


def test_long_speech_is_cut_in_a_pause(
    activity: VoiceActivity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice, "PAUSE_S", 2.0)
    said = speak("we will go to the market and see what they have for us")
    sound = np.concatenate([np.concatenate([said, silence(0.7)]) for _ in range(12)])

    found = list(activity.utterances([sound]))

    assert len(found) > 1
    assert all(len(one.samples) <= 30 * RATE for one in found)
    assert all(one.end_s <= other.start_s for one, other in pairwise(found))
    for border in [*(one.start_s for one in found[1:]), *(one.end_s for one in found[:-1])]:
        at = round(border * RATE)
        assert not sound[at - RATE // 50 : at + RATE // 50].any()


def test_speech_without_a_pause_is_cut_into_overlapping_utterances() -> None:
    speech = np.full(2500, 0.9, np.float32)

    span, keep_from = voice.next_span(speech, last=False)

    assert span == (0, int(30 * RATE / voice.FRAME))
    assert (span[1] - keep_from) * voice.FRAME / RATE == pytest.approx(2.0, abs=0.04)


def test_hours_are_heard_with_little_memory(activity: VoiceActivity) -> None:
    given = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal given
        for _ in range(30):
            given += 10
            yield np.concatenate([silence(8), speak("good morning")[: 2 * RATE]])

    first = next(activity.utterances(blocks()))

    assert first.start_s == pytest.approx(8.0, abs=0.6)
    assert given <= 30


def test_a_changed_model_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "SHA256", "0" * 64)

    with pytest.raises(ModelUnavailable, match="silero-vad"):
        VoiceActivity()

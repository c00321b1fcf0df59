"""A recording's transcript: its speech is found, recognised and put back onto one clock."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.models.protocols import Heard, Recognizer, SpokenWord
from pipelines.models.voice import Utterance, VoiceActivity

# Speech that is recognised at once: enough for several workers, little enough for memory.
GROUP_S = 120.0


@dataclass(frozen=True)
class Transcript:
    """What is said in a recording.

    The words are in the order of time, with times in the whole recording. `language` is the one
    that most words are in. `spoken_s` is the length of all utterances, pauses within them included.
    """

    words: tuple[SpokenWord, ...]
    language: str | None
    spoken_s: float


def transcribe(
    blocks: Iterable[np.ndarray],
    voice: VoiceActivity,
    recognizer: Recognizer,
    progress: Callable[[float], None] = lambda _: None,
) -> Transcript:
    """Transcribe contiguous int16 blocks (any lengths, 16 kHz mono), two minutes of speech a time.

    `progress` is told the second up to which the recording is done. Words that two overlapping
    utterances both hear are taken from the first up to the middle of the overlap.
    """
    words: list[SpokenWord] = []
    languages: Counter[str] = Counter()
    spoken_s = done_s = 0.0
    for group in _groups(voice.utterances(blocks)):
        heard = recognizer.recognise([utterance.samples for utterance in group])
        for utterance, what in zip(group, heard, strict=True):
            _append(words, _on_the_clock(utterance, what), (done_s + utterance.start_s) / 2)
            spoken_s += utterance.end_s - max(done_s, utterance.start_s)
            done_s = utterance.end_s
            if what.language:
                languages[what.language] += len(what.words)
        progress(done_s)
    language = languages.most_common(1)[0][0] if languages else None
    return Transcript(tuple(words), language, spoken_s)


def _groups(utterances: Iterator[Utterance]) -> Iterator[list[Utterance]]:
    group: list[Utterance] = []
    length = 0.0
    for utterance in utterances:
        group.append(utterance)
        length += utterance.end_s - utterance.start_s
        if length >= GROUP_S:
            yield group
            group, length = [], 0.0
    if group:
        yield group


def _on_the_clock(utterance: Utterance, heard: Heard) -> list[SpokenWord]:
    moved = (
        replace(
            word, start_s=utterance.start_s + word.start_s, end_s=utterance.start_s + word.end_s
        )
        for word in heard.words
    )
    return sorted(moved, key=lambda word: word.start_s)


def _append(words: list[SpokenWord], more: Sequence[SpokenWord], middle: float) -> None:
    """Append the words of the next utterance, which begins before or after the last one ended.

    A word across the middle is the last one's, though the next may have heard it a little earlier
    or later.
    """
    while words and words[-1].start_s >= middle:
        words.pop()
    begin = max(middle, words[-1].end_s) if words else middle
    words.extend(word for word in more if (word.start_s + word.end_s) / 2 >= begin)

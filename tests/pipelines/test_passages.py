from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.protocols import SpokenWord
from pipelines.reading.ocr import Word
from pipelines.reading.passages import (
    PASSAGE_WORDS,
    SHARED_WORDS,
    SPEECH_S,
    SPEECH_WORDS,
    split_speech,
    split_text,
    split_words,
)

lines = st.lists(st.text(alphabet="ab ", max_size=40), max_size=30)


def word(text: str, confidence: float = 1.0) -> Word:
    return Word(text, confidence, (0, 0, 1, 1), 0)


@given(lines)
def test_a_text_keeps_all_its_words_in_order(lines: list[str]) -> None:
    text = "\n".join(lines)
    passages = list(split_text(text))
    assert " ".join(passages).split() == text.split()
    assert all(passage.strip() for passage in passages)


@given(st.lists(st.integers(1, 50), max_size=20))
def test_passages_are_whole_lines_and_bounded(counts: list[int]) -> None:
    text = "\n".join(" ".join(["w"] * count) for count in counts)
    passages = list(split_text(text))
    assert "\n".join(passages) == text
    assert all(len(passage.split()) <= PASSAGE_WORDS for passage in passages)


def test_a_line_longer_than_a_passage_stays_whole() -> None:
    long = " ".join(["w"] * (2 * PASSAGE_WORDS))
    assert list(split_text(f"short\n{long}\nshort")) == ["short", long, "short"]


def test_blank_text_has_no_passage() -> None:
    assert list(split_text("")) == list(split_text(" \n\n\t\n")) == []


def test_words_are_cut_like_text_and_keep_their_places() -> None:
    long = [word(f"w{n}", 0.5) for n in range(PASSAGE_WORDS)]
    first, second = split_words([[word("a"), word("b")], long])
    assert first == ("a b", 1.0, [word("a"), word("b")])
    assert second[1] == 0.5 and second[2] == long
    assert list(split_words([])) == []


def speech(sizes: list[int], pauses: list[float], confidence: float | None) -> list[SpokenWord]:
    """Phrases of so many words, a third of a second a word, each after a pause."""
    said, at = [], 0.0
    for number, (size, pause) in enumerate(zip(sizes, pauses, strict=False)):
        start = at + pause
        at = start + size / 3
        said.append(SpokenWord(" ".join([f"w{number}"] * size), start, at, confidence))
    return said


@given(
    st.lists(st.sampled_from([1, 1, 1, 3, 8, 20, 50]), max_size=150),
    st.lists(st.sampled_from([0.0, 0.0, 0.4, 2.0, 40.0]), min_size=150, max_size=150),
)
def test_windows_of_speech_cover_it_and_overlap(sizes: list[int], pauses: list[float]) -> None:
    said = speech(sizes, pauses, 0.5)
    windows = list(split_speech(said))
    spans = []
    for text, start_s, end_s, confidence, words in windows:
        first = said.index(words[0])
        assert words == said[first : first + len(words)]
        assert text == " ".join(word.text for word in words)
        assert (start_s, end_s, confidence) == (words[0].start_s, words[-1].end_s, 0.5)
        assert len(words) == 1 or end_s - start_s <= SPEECH_S
        assert len(words) == 1 or len(text.split()) <= 1.2 * SPEECH_WORDS
        spans.append((first, first + len(words)))
    assert [end for _, end in spans][-1:] == [len(said)][: len(said)]
    for (start, end), (after, further) in pairwise(spans):
        assert start < after <= end < further, "none leaves a gap, or lies within another"
        assert 2 * sum(sizes[after:end]) <= sum(sizes[start:end])


def test_even_speech_is_cut_evenly() -> None:
    windows = [words for *_, words in split_speech(speech([1] * 100, [0.0] * 100, None))]
    assert [len(words) for words in windows[:-1]] == [SPEECH_WORDS] * (len(windows) - 1)
    for before, after in pairwise(windows):
        assert before[-SHARED_WORDS:] == after[:SHARED_WORDS]


def test_speech_is_cut_where_it_pauses() -> None:
    pauses = [1.0 if number in (27, 20) else 0.1 for number in range(60)]
    first, second, *_ = (words for *_, words in split_speech(speech([1] * 60, pauses, None)))
    assert first[-1].text == "w26" and second[0].text == "w20"


def test_confidence_is_that_of_the_words_that_have_one() -> None:
    said = [SpokenWord("a", 0, 1, 0.5), SpokenWord("<PERSON>", 1, 2), SpokenWord("b", 2, 3, 0.7)]
    [(text, start_s, end_s, confidence, _)] = split_speech(said)
    assert (text, start_s, end_s, confidence) == ("a <PERSON> b", 0, 3, 0.6)
    [(_, _, _, unknown, _)] = split_speech(said[1:2])
    assert unknown is None and list(split_speech([])) == []


def test_what_is_said_after_a_long_silence_is_another_window() -> None:
    first = [SpokenWord("early", place, place + 0.5) for place in range(6)]
    later = [SpokenWord("late", place, place + 0.5) for place in range(20, 24)]
    spans = [(start, end) for _, start, end, _, _ in split_speech([*first, *later])]
    assert spans == [(0, 5.5), (20, 23.5)]
    assert [*split_speech([])] == []

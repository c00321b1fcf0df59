from hypothesis import given
from hypothesis import strategies as st

from pipelines.reading.ocr import Word
from pipelines.reading.passages import PASSAGE_WORDS, split_text, split_words

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

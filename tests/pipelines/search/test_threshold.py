"""When no answer is given: to nonsense and to what is far from everything, never to questions."""

import random
import string

import pytest

from pipelines.search.fusion import threshold
from pipelines.search.fusion.threshold import FAR, UNREADABLE, looks_like_language, no_match

QUESTIONS = [
    "a dog",
    "skateboarder on a sidewalk",
    "equestrians",
    "rhythm gymnast",
    "xylophone",
    "USB stick",
    "ein roter Regenschirm am Strand",
    "chaussures de course",
    "silla de madera",
    "röd tröja med knappar",
    "красный зонт",
    "赤い傘",
    "猫",
    "NYC",
    "Oslo",
    "bbc xml",
]


@pytest.mark.parametrize("text", QUESTIONS)
def test_real_questions_are_answered(text: str) -> None:
    assert looks_like_language(text)
    assert no_match(text, False, 0.1) is None


def test_every_word_that_the_encoder_knows_is_language() -> None:
    words = threshold._letters().words
    assert len(words) > 20_000 and all(map(looks_like_language, words))


def test_random_letters_and_digits_are_not() -> None:
    chance = random.Random(99)

    def letters(low: int, high: int) -> str:
        return "".join(chance.choices(string.ascii_lowercase, k=chance.randint(low, high)))

    single = [letters(5, 12) for _ in range(500)]
    several = [" ".join(letters(3, 10) for _ in range(3)) for _ in range(500)]
    assert sum(map(looks_like_language, single)) <= 15
    assert sum(map(looks_like_language, several)) <= 5
    for text in ("8841 0092 11", "!!! ???", "qwrtzpsdf", "xkcdq vbnmt"):
        assert no_match(text, False, 0.2) == no_match(text, False, None) == UNREADABLE


def test_what_is_spelled_here_or_found_with_confidence_is_shown() -> None:
    assert no_match("xkcdq", True, 0.1) is None
    assert no_match("xkcdq", True, None) is None
    assert no_match("xkcdq", False, 0.3) is None


def test_what_is_far_from_everything_is_not_shown() -> None:
    assert no_match("what is the capital of mongolia", True, 0.01) == FAR
    assert no_match("what is the capital of mongolia", False, None) is None
    assert no_match(None, False, 0.0) is None

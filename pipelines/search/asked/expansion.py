"""Words for queries that come without: said in the sound, read in the image, or a caption."""

import logging
from collections.abc import Callable
from dataclasses import replace

from pipelines.errors import MediadexError
from pipelines.models import factory
from pipelines.progress import LOGGER
from pipelines.search.asked.query import Degraded, Guess, Query
from pipelines.settings import Settings

_CAPTIONED = 4  # keyframes of a clip
_READ_WORDS = 4  # sure words from which an image says more by its text than by a caption
_LETTERS = 3  # of a word that counts
_MOST_CHARACTERS = 1_000


def expand(query: Query, settings: Settings, workers: int = 0) -> Query:
    """Guess words for a query that has no text, so that text channels can be asked too.

    What is said comes first, then what is read in the image, such as a screenshot, then a caption.
    `workers` is how many processes recognise speech; with none it is done in this one. A model
    that fails is noted as degraded.
    """
    if query.typed:
        return query
    if query.sound is not None:
        query = _guessed(query, "sound", lambda: _transcript(query, settings, workers))
    if query.guess is None and query.image is not None and settings.read_images:
        query = _guessed(query, "image", lambda: _read(query, settings))
    if query.guess is None and query.pictures:
        query = _guessed(query, "caption", lambda: _caption(query))
    return query


def _guessed(query: Query, name: str, guess: Callable[[], Guess | None]) -> Query:
    try:
        return replace(query, guess=guess())
    except Exception as error:
        noted = Degraded("input", name, f"no words were made of it: {reason_of(error)}")
        return replace(query, degraded=(*query.degraded, noted))


def reason_of(error: Exception) -> str:
    """Tell why something failed: what we know to be safe to tell, else the type of the error."""
    reason = str(error) if isinstance(error, MediadexError) else type(error).__name__
    logging.getLogger(LOGGER).warning("a query is answered without a part of it: %s", reason)
    return reason


def _transcript(query: Query, settings: Settings, workers: int) -> Guess | None:
    from pipelines.reading.transcribing import transcribe

    assert query.sound is not None
    recognizer = factory.recognizer(settings.recognizer, settings.vocabulary, workers)
    heard = transcribe([query.sound.samples], factory.voice_activity(), recognizer)
    text = " ".join(word.text for word in heard.words)
    return Guess(text, "transcript") if text.strip() else None


def _read(query: Query, settings: Settings) -> Guess | None:
    from pipelines.reading.ocr import TesseractReader

    assert query.image is not None
    page = TesseractReader(settings.ocr_languages).read(query.image).legible()
    words = [word for word in page.words if sum(map(str.isalnum, word.text)) >= _LETTERS]
    text = " ".join(page.text.split())[:_MOST_CHARACTERS]
    return Guess(text, "ocr") if len(words) >= _READ_WORDS else None


def _caption(query: Query) -> Guess:
    """Caption the image, or some keyframes in the order of time."""
    captioner = factory.captioner(factory.BUILTIN)
    shown = query.pictures
    chosen = shown[:: -(-len(shown) // _CAPTIONED)]
    captions = captioner.caption_prepared([captioner.prepare(image) for image in chosen])
    return Guess(", then ".join(dict.fromkeys(captions)), "caption")

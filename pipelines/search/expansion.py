"""Words for queries that come without: the transcript of a sound, else a caption of pictures."""

import logging
from collections.abc import Callable
from dataclasses import replace

from pipelines.errors import MediadexError
from pipelines.models import factory
from pipelines.progress import LOGGER
from pipelines.search.query import Degraded, Guess, Query
from pipelines.settings import Settings

_CAPTIONED = 4  # keyframes of a clip


def expand(query: Query, settings: Settings, workers: int = 0) -> Query:
    """Guess words for a query that has no text, so that text channels can be asked too.

    `workers` is how many processes recognise speech; with none it is done in this one. A model
    that fails is noted as degraded.
    """
    if query.typed:
        return query
    if query.sound is not None:
        query = _guessed(query, "sound", lambda: _transcript(query, settings, workers))
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


def _caption(query: Query) -> Guess:
    """Caption the image, or some keyframes in the order of time."""
    captioner = factory.captioner(factory.BUILTIN)
    shown = query.pictures
    chosen = shown[:: -(-len(shown) // _CAPTIONED)]
    captions = captioner.caption_prepared([captioner.prepare(image) for image in chosen])
    return Guess(", then ".join(dict.fromkeys(captions)), "caption")

"""Answers as the JSON document that applications get."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.search.asked.query import Query
from pipelines.search.fusion.scores import Scored
from pipelines.search.plans.look import looked_at

if TYPE_CHECKING:
    from pipelines.search.retrieval import Retrieval

# These segments are the item itself, not a part of it.
_WHOLE = {"image", "meta", "video"}


def as_document(asked: "Retrieval", query_id: str) -> dict[str, Any]:
    """Write an answer in the form of the public contract."""
    return {
        "query_id": query_id,
        "release": asked.searcher.manifest.release,
        "profile": asked.profile,
        "plan": asked.query.plan,
        "asked": _asked(asked.query) | {"reworded": asked.reworded},
        "degraded": [each.as_document() for each in asked.encoded.degraded],
        "widened": asked.widened,
        **looked_at(asked),
        "no_match": asked.no_match,
        "cached": None,
        "engine": "tables" if asked.engine is asked.searcher.tables else "mirror",
        "trace": [timing.as_document() for timing in asked.trace],
        "results": asked.results,
    }


def result(
    entry: Scored,
    place: Mapping[str, Any],
    top_channel: str,
    matched: Sequence[str] = (),
    passage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write one result.

    `place` is the row of `top_channel`, which contributed most, and `passage` the one that holds
    the `matched` words.
    """
    return {
        "item_id": entry.item_id,
        "uri": place["uri"],
        "title": place["title"],
        "kind": place["kind"],
        "score": entry.score,
        "channels": dict(entry.channels),
        "top_channel": top_channel,
        "matched": list(matched),
        "matched_in": _segment(passage) if passage and matched else None,
        "segment": _segment(place),
    }


def _segment(place: Mapping[str, Any]) -> dict[str, Any] | None:
    if place["segment"] in _WHOLE:
        return None
    shown = {name: place[name] for name in ("segment", "page", "start_s", "end_s")}
    return {**shown, "link": link(place["uri"], **shown)}


def link(
    uri: str, segment: str, page: int | None, start_s: float | None, end_s: float | None
) -> str | None:
    """Return the address of a part of an item, `None` for a part that has none.

    Times are written as in W3C Media Fragments URI 1.0, pages as in RFC 8118.
    """
    if start_s is not None:
        span = ",".join(f"{round(each, 3):.10g}" for each in (start_s, end_s) if each is not None)
        return f"{uri}#t={span}"
    return f"{uri}#page={page}" if page is not None else None


def _asked(query: Query) -> dict[str, Any]:
    """Tell where the words came from, and which piece of the sound was asked with."""
    guess = query.guess
    sound = query.sound and {"start_s": query.sound.start_s, "end_s": query.sound.end_s}
    return {
        "words": "text" if query.typed else guess.source if guess else None,
        "text": query.words,
        "read": guess.text if guess and guess.source == "ocr" else None,
        "sound": sound,
    }

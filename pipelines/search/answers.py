"""Answers as the JSON document that applications get."""

import uuid
from collections.abc import Mapping
from typing import Any

from pipelines.search.query import Query
from pipelines.search.ranking import Answer

# These segments are the item itself, not a part of it.
_WHOLE = {"image", "meta", "video"}


def as_document(answer: Answer) -> dict[str, Any]:
    """Write an answer in the form of the public contract."""
    results = []
    for entry in answer.ranked:
        place = answer.places[entry.item_id]
        results.append(
            {
                "item_id": entry.item_id,
                "uri": place["uri"],
                "title": place["title"],
                "kind": place["kind"],
                "score": entry.score,
                "channels": dict(entry.channels),
                "segment": None if place["segment"] in _WHOLE else _segment(place),
            }
        )
    return {
        "query_id": uuid.uuid4().hex,
        "release": answer.release,
        "profile": answer.profile,
        "asked": _asked(answer.query),
        "degraded": [each.as_document() for each in answer.degraded],
        "results": results,
    }


def _segment(place: Mapping[str, Any]) -> dict[str, Any]:
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
    words = "text" if query.typed else query.guess.source if query.guess else None
    sound = query.sound and {"start_s": query.sound.start_s, "end_s": query.sound.end_s}
    return {"words": words, "sound": sound}

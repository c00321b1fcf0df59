"""Asking a query of the past again, with the very vectors and rights of then."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from pipelines.rights import Caller
from pipelines.search.asked.encoding import Encoded
from pipelines.search.asked.query import Degraded, Guess, Query, Sound
from pipelines.search.journal.records import Record

_ORIGIN = ("like", "hop")


def replayed_query(record: Record) -> tuple[Query, Encoded, Caller | None]:
    """Return what to ask the release that answered: the query, its vectors, and who asked.

    Nothing is to be encoded or guessed again; media are stood for by empty ones. Where the record
    is `masked`, BM25 and the filter are asked with the masked words. What a cache answered is asked
    as that was which it repeats, for the same page.
    """
    first, page = record.first or record, record.request
    query = replace(query_of(first), k=page["k"], offset=page["offset"])
    return query, _encoded(first), _caller(record)


def query_of(record: Record) -> Query:
    """Return the query that was asked; an empty picture or sound stands for each that was."""
    said = {name: value for name, value in record.request.items() if name not in _ORIGIN}
    blank = Image.new("L", (1, 1))
    sound, guess = said["sound"], said["guess"]
    return Query(
        **said
        | {
            "channels": tuple(said["channels"]),
            "image": blank if said["image"] else None,
            "clip": (blank,) if said["clip"] else (),
            "sound": Sound(np.zeros(0, np.int16), **sound) if sound else None,
            "guess": Guess(**guess) if guess else None,
        }
    )


def _encoded(record: Record) -> Encoded:
    """Return the very vectors that were asked with, and what could not be asked then."""
    missing = [
        Degraded(what, each[what], each["reason"])
        for each in record.answer["degraded"]
        for what in ("channel", "input")
        if what in each
    ]
    like = record.request["like"]
    return Encoded(dict(record.probes), missing, like=tuple(like) if like else None)


def _caller(record: Record) -> Caller | None:
    """Return who asked, with the rights of then."""
    return None if record.rights is None else Caller(user=record.user, **record.rights)


def difference(record: Record, document: Mapping[str, Any]) -> dict[str, Any]:
    """Compare an answer with the one on record: ids in their order, scores and their parts.

    `max_difference` is taken over the items that both have, 0 where there are none. `masked` says
    that other words were asked with, so that a difference proves nothing.
    """
    before = {result["item_id"]: result for result in record.results}
    after = {result["item_id"]: result for result in document["results"]}
    apart = [_apart(before[item_id], after[item_id]) for item_id in before if item_id in after]
    largest = max(apart, default=0.0)
    return {
        "query_id": record.query_id,
        "release": record.release,
        "same_release": document["release"] == record.release,
        "same_ids": list(before) == list(after),
        "same_scores": largest == 0.0,
        "max_difference": largest,
        "missing": len(before.keys() - after.keys()),
        "added": len(after.keys() - before.keys()),
        "masked": record.masked or bool(record.first and record.first.masked),
    }


def _apart(old: Mapping[str, Any], new: Mapping[str, Any]) -> float:
    parts = {*old["channels"], *new["channels"]}
    pairs = [(old["channels"].get(p, 0.0), new["channels"].get(p, 0.0)) for p in parts]
    return max(math.fabs(a - b) for a, b in [(old["score"], new["score"]), *pairs])

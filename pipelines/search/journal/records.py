"""One answered query as the journal keeps it, and the row that it is written as."""

import datetime as dt
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from PIL import Image

from pipelines.outcomes import now
from pipelines.rights import Caller
from pipelines.search.asked.encoding import Encoded, Probe
from pipelines.search.asked.query import Degraded, Guess, Query, Sound
from pipelines.search.engines.protocol import Hit
from pipelines.search.retrieval import Retrieval

MOST_CANDIDATES = 500
"""So many candidates of a query are kept, the best."""

_MEDIA = ("image", "sound", "clip")
_MADE = ("guess", "degraded")
# Of the answer document, what is kept elsewhere, or can be counted again.
_ELSEWHERE = {"query_id", "release", "results", "trace", "facets"}


@dataclass(frozen=True)
class Candidates:
    """The best candidates: ids and final scores (n,); raw similarity and evidence (channels, n).

    NaN where a channel has nothing of an item.
    """

    channels: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    similarities: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    evidence: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))


@dataclass(frozen=True)
class Record:
    """What was asked, by whom, with which rights, and all of what was answered from.

    `user` is a pseudonym; `rights` are a caller's without the user, `None` the operator's.
    `request` says what was asked but for media, of which only their kinds stay, and `answer` what
    stood above the results. `repeats` is the query whose answer a cache gave again. `masked` tells
    that private data was found in what was asked, and taken out.
    """

    query_id: str
    at: dt.datetime
    release: str
    user: str | None
    rights: dict[str, Any] | None
    request: dict[str, Any]
    answer: dict[str, Any]
    results: Sequence[Mapping[str, Any]]
    trace: Sequence[Mapping[str, Any]] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    probes: Mapping[str, Probe] = field(default_factory=dict)
    candidates: Candidates = field(default_factory=Candidates)
    confidence: float | None = None
    masked: bool = False
    repeats: str | None = None

    @property
    def items(self) -> set[str]:
        """The ids of all items that it names."""
        like = self.request.get("like")
        shown = {result["item_id"] for result in self.results}
        return {*shown, *self.candidates.items, *([like] if like else [])}

    def is_of(self, caller: Caller | None) -> bool:
        """Tell whether a caller may know of it: who asked, and the operator (`None`).

        Of callers without a name, those who have the same rights.
        """
        if caller is None:
            return True
        if caller.user is not None or self.user is not None:
            return caller.user == self.user
        return self.rights == _rights(caller)


def recorded(
    asked: Retrieval,
    document: Mapping[str, Any],
    caller: Caller | None = None,
    like: str | None = None,
) -> Record:
    """Record a query that was answered by `document`; `like` is the item that it was asked by.

    Its text is the one that answered, where it was asked in other words.
    """
    query = replace(asked.query, text=asked.reworded or asked.query.text)
    ranked = asked.ranked[:MOST_CANDIDATES]
    ids = tuple(entry.item_id for entry in ranked)
    channels = tuple(sorted({*asked.hits, *(c for i in ids for c in asked.evidence.get(i, ()))}))
    found_in: list[Mapping[str, Hit]] = [asked.hits.get(name, {}) for name in channels]
    similarities = [[hits[i].value if i in hits else np.nan for i in ids] for hits in found_in]
    found = [asked.evidence.get(i, {}) for i in ids]
    evidence = [[each.get(name, np.nan) for each in found] for name in channels]
    shape = (len(channels), len(ids))
    return Record(
        **_head(query, document, caller, like),
        weights=dict(asked.weights),
        probes=dict(asked.encoded.probes),
        candidates=Candidates(
            channels,
            ids,
            tuple(entry.score for entry in ranked),
            np.array(similarities, np.float32).reshape(shape),
            np.array(evidence, np.float32).reshape(shape),
        ),
        confidence=ranked[0].score if ranked else None,
    )


def repeated(
    query: Query, document: Mapping[str, Any], first: str, caller: Caller | None = None
) -> Record:
    """Record a query that a cache answered with what the query `first` was answered with."""
    return Record(**_head(query, document, caller, None), repeats=first)


def _head(
    query: Query, document: Mapping[str, Any], caller: Caller | None, like: str | None
) -> dict[str, Any]:
    return {
        "query_id": document["query_id"],
        "at": now(),
        "release": document["release"],
        "user": caller.user if caller else None,
        "rights": _rights(caller),
        "request": _request(query, document["profile"]) | {"like": like},
        "answer": {name: value for name, value in document.items() if name not in _ELSEWHERE},
        "results": document["results"],
        "trace": document["trace"],
    }


def _rights(caller: Caller | None) -> dict[str, Any] | None:
    if caller is None:
        return None
    rights = caller.model_dump(exclude={"user"})
    return {name: _plain(value) for name, value in rights.items()}


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, Collection) and not isinstance(value, str) else value


def _request(query: Query, profile: str) -> dict[str, Any]:
    """Write a query without media; the profile is the one that was chosen for it."""
    said = {each.name: getattr(query, each.name) for each in fields(query)}
    for name in (*_MEDIA, *_MADE):
        del said[name]
    guess, sound = query.guess, query.sound
    return said | {
        "text": query.typed,
        "profile": profile,
        "channels": list(query.channels),
        "image": query.image is not None,
        "sound": {"start_s": sound.start_s, "end_s": sound.end_s} if sound else None,
        "clip": bool(query.clip),
        "guess": {"text": guess.text, "source": guess.source} if guess else None,
    }


def query_of(record: Record) -> Query:
    """Return the query that was asked; an empty picture or sound stands for each that was."""
    said = {name: value for name, value in record.request.items() if name != "like"}
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


def encoded_of(record: Record) -> Encoded:
    """Return the very vectors that were asked with, and what could not be asked then."""
    missing = [
        Degraded(what, each[what], each["reason"])
        for each in record.answer["degraded"]
        for what in ("channel", "input")
        if what in each
    ]
    return Encoded(dict(record.probes), missing)


def caller_of(record: Record) -> Caller | None:
    """Return who asked, with the rights of then."""
    return None if record.rights is None else Caller(user=record.user, **record.rights)


def row_of(record: Record) -> dict[str, Any]:
    """Write a record as a row of the table `queries`."""
    vectors: dict[bytes, int] = {}
    probes = {
        channel: {
            "vector": vectors.setdefault(
                np.asarray(probe.vector, np.float32).tobytes(), len(vectors)
            ),
            "medium": probe.medium,
        }
        for channel, probe in record.probes.items()
    }
    found = record.candidates
    return {
        "query_id": record.query_id,
        "at": record.at,
        "release": record.release,
        "user": record.user,
        "rights": None if record.rights is None else _json(record.rights),
        "request": _json(record.request),
        "answer": _json(record.answer),
        "results": _json(record.results),
        "trace": _json(record.trace),
        "weights": _json(record.weights),
        "probes": _json(probes),
        "vectors": list(vectors),
        "channels": found.channels,
        "candidates": found.items,
        "scores": found.scores,
        "similarities": _lists(found.similarities),
        "evidence": _lists(found.evidence),
        "items": sorted(record.items),
        "confidence": record.confidence,
        "masked": record.masked,
        "repeats": record.repeats,
    }


def record_of(row: Mapping[str, Any]) -> Record:
    """Read a record from its row."""
    vectors = [np.frombuffer(each, np.float32) for each in row["vectors"]]
    shape = (len(row["channels"]), len(row["candidates"]))
    return Record(
        query_id=row["query_id"],
        at=row["at"],
        release=row["release"],
        user=row["user"],
        rights=None if row["rights"] is None else json.loads(row["rights"]),
        request=json.loads(row["request"]),
        answer=json.loads(row["answer"]),
        results=json.loads(row["results"]),
        trace=json.loads(row["trace"]),
        weights=json.loads(row["weights"]),
        probes={
            channel: Probe(vectors[each["vector"]], each["medium"])
            for channel, each in json.loads(row["probes"]).items()
        },
        candidates=Candidates(
            tuple(row["channels"]),
            tuple(row["candidates"]),
            tuple(row["scores"]),
            np.array(row["similarities"], np.float32).reshape(shape),
            np.array(row["evidence"], np.float32).reshape(shape),
        ),
        confidence=row["confidence"],
        masked=row["masked"],
        repeats=row["repeats"],
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=list)


def _lists(matrix: np.ndarray) -> list[list[float | None]]:
    """Write NaN as null, so that other readers of the table need not know."""
    return [[None if value != value else value for value in row] for row in matrix.tolist()]

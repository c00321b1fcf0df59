"""One answered query as the journal keeps it."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.outcomes import now
from pipelines.rights import OPERATE, Caller
from pipelines.search.asked.encoding import Probe
from pipelines.search.asked.query import Query
from pipelines.search.fusion.scores import ids_of, scores_of
from pipelines.search.retrieval import Retrieval

if TYPE_CHECKING:
    from pipelines.search.hops import Hop

MOST_CANDIDATES = 500
"""So many candidates of a query are kept, the best."""

_MEDIA = ("image", "sound", "clip")
_MADE = ("guess", "degraded")
# A query that asks with nothing but what it is made of.
_ITSELF: Mapping[str, Any] = {"like": None, "hop": None}
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
    stood above the results. Its `like` names the items whose vectors were asked with; it is a list,
    that may be empty, for what was asked in hops, of which `hop` is the one that answered, and else
    `None`. `repeats` is the query whose answer a cache gave again, and `first` that query, where it
    is known. `masked` tells that private data was found in what was asked, and taken out.
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
    first: "Record | None" = None

    @property
    def items(self) -> set[str]:
        """The ids of all items that it names."""
        shown = {result["item_id"] for result in self.results}
        return {*shown, *self.candidates.items, *(self.request.get("like") or ())}

    def is_of(self, caller: Caller | None) -> bool:
        """Tell whether a caller may know of it: who asked, and operators.

        Of callers without a name, those who have the same rights.
        """
        if caller is None or OPERATE in caller.scopes:
            return True
        if caller.user is not None or self.user is not None:
            return caller.user == self.user
        return self.rights == _rights(caller)


def recorded(
    asked: Retrieval,
    document: Mapping[str, Any],
    caller: Caller | None = None,
    hop: "Hop | None" = None,
) -> Record:
    """Record a query that was answered by `document`, in hops by `hop`.

    Its text is the one that answered, where it was asked in other words.
    """
    like = [*(asked.encoded.like or ())]
    origin = {"like": like if like or hop else None, "hop": asdict(hop) if hop else None}
    ids = ids_of(asked.ranked)[:MOST_CANDIDATES]
    scores = scores_of(asked.ranked)[:MOST_CANDIDATES]
    return Record(
        **_head(asked.worded, document, caller, asked.at, origin),
        weights=dict(asked.weights),
        probes=dict(asked.encoded.probes),
        candidates=Candidates(
            asked.evidence.channels,
            tuple(ids),
            tuple(scores),
            asked.similarities.rows(ids).T.astype(np.float32),
            asked.evidence.rows(ids).T.astype(np.float32),
        ),
        confidence=scores[0] if scores else None,
    )


def repeated(
    query: Query, document: Mapping[str, Any], first: str, caller: Caller | None = None
) -> Record:
    """Record a query that a cache answered with what the query `first` was answered with."""
    return Record(**_head(query, document, caller, now()), repeats=first)


def _head(
    query: Query,
    document: Mapping[str, Any],
    caller: Caller | None,
    at: dt.datetime,
    origin: Mapping[str, Any] = _ITSELF,
) -> dict[str, Any]:
    return {
        "query_id": document["query_id"],
        "at": at,
        "release": document["release"],
        "user": caller.user if caller else None,
        "rights": _rights(caller),
        "request": {**_request(query, document["profile"]), **origin},
        "answer": {name: value for name, value in document.items() if name not in _ELSEWHERE},
        "results": document["results"],
        "trace": document["trace"],
    }


def _rights(caller: Caller | None) -> dict[str, Any] | None:
    if caller is None:
        return None
    rights = caller.model_dump(exclude={"user", "personal"})
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

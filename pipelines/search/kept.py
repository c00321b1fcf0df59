"""Answers that were given before, and are given again while nothing that they depend on changed."""

from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

from pydantic_core import from_json, to_json

from pipelines.rights import Caller, fingerprint
from pipelines.search.asked.encoding import Encoded, Probe
from pipelines.search.asked.query import Query
from pipelines.search.caches import Cache, SemanticCache, key_of
from pipelines.search.taste import Taste
from pipelines.search.views import View

_SHAPING = {"reranker", "cross_encoder", "recency", "personal", "refuse_nonsense"}
"""The settings that the answer to a text depends on, beside release and query."""
_VERSION = version("mediadex")  # what is kept is read by the version that wrote it

Document = dict[str, Any]
Answered = tuple[Document, list[str]]
"""An answer, and the ids of all items that were candidates for it."""


@dataclass(frozen=True)
class Question:
    """A text, who asks it, and what it is answered from: all that its answer depends on."""

    query: Query
    view: View
    caller: Caller | None
    taste: Taste | None

    @cached_property
    def scope(self) -> str:
        """The digest of all but the text."""
        query, rights = self.query, fingerprint(self.caller)
        asked: list[Any] = [query.k, query.offset, query.where, query.profile, query.plan]
        asked += [query.diversity, query.reranker, list(query.channels)]
        liked = self.taste.key if self.taste else None
        searcher = self.view.searcher
        made = [_VERSION, searcher.settings.model_dump(include=_SHAPING)]
        return key_of(made, searcher.fingerprint, self.view.epoch, rights, asked, liked)

    @cached_property
    def key(self) -> str:
        """The digest of all."""
        return key_of(self.scope, self.query.typed)

    @property
    def next_page(self) -> "Question":
        """What asks for the results after these."""
        query = self.query
        return replace(self, query=replace(query, offset=query.offset + query.k))


class Kept:
    """Answers to questions; with `alike` also those to questions that mean the same."""

    def __init__(self, cache: Cache, alike: bool):
        self._cache = cache
        self._alike = SemanticCache(cache) if alike else None

    def get(self, question: Question) -> Answered | None:
        """Return the answer that the very same question got."""
        return _read(self._cache.get("results", question.key))

    def get_alike(self, question: Question, encoded: Encoded) -> Answered | None:
        """Return the answer to one that means the same; `encoded` is what the question became."""
        probe = _of_text(encoded)
        if self._alike is None or probe is None:
            return None
        return _read(self._alike.get(question.scope, question.query.typed or "", probe.vector))

    def has(self, question: Question) -> bool:
        """Tell whether the very same question has an answer; counts neither hit nor miss."""
        return self._cache.read("results", question.key) is not None

    def keep(self, question: Question, answered: Answered, encoded: Encoded | None = None) -> None:
        """Keep an answer that lacks nothing."""
        if answered[0]["degraded"]:
            return
        value = to_json(answered)
        self._cache.set("results", question.key, value)
        if self._alike is not None and encoded and (probe := _of_text(encoded)):
            self._alike.set(question.scope, question.query.typed or "", probe.vector, value)


def _of_text(encoded: Encoded) -> Probe | None:
    return next((each for each in encoded.probes.values() if each.medium == "text"), None)


def _read(value: bytes | None) -> Answered | None:
    if value is None:
        return None
    document, found = from_json(value)
    return document, found

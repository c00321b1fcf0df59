"""Answers and parts of them kept for a while: in memory, or in Redis for several processes.

Keys are digests and values bytes, so that neither a key nor what was stored tells or changes
anything by itself. What must not be shared stands in the key: release, rights, hidden items.
"""

import hashlib
import json
import logging
import re
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from cachetools import TTLCache

from pipelines.errors import MediadexError
from pipelines.progress import LOGGER
from pipelines.search.words import terms
from pipelines.tables.vectors import unit

LEVELS: Mapping[str, float] = {
    "embedding": 3600.0,
    "results": 24 * 3600.0,
    "semantic": 7 * 24 * 3600.0,
    "prompts": 1800.0,
}
"""The levels, and how long an entry of each is kept (seconds)."""

ALIKE = 0.9
"""Cosine of two queries' vectors above which one's answer is the other's too."""

_ENTRIES = 2_000
_NEIGHBOURS = 256
_REDIS_S = 0.25
_PAUSE_S = 5.0


def key_of(*parts: Any) -> str:
    """Return the key of JSON-like parts: SHA-256 of their canonical form, 64 hex digits."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class Cache(ABC):
    """Keeps bytes by level and key for the level's time; counts hits and misses."""

    def __init__(self, levels: Mapping[str, float] = LEVELS):
        self.levels = dict(levels)
        self._counts: Counter[tuple[str, bool]] = Counter()
        self._counting = threading.Lock()

    def get(self, level: str, key: str) -> bytes | None:
        """Return what is kept, `None` for a miss."""
        value = self.read(level, key)
        self.count(level, value is not None)
        return value

    def set(self, level: str, key: str, value: bytes) -> None:
        """Keep a value for the level's time."""
        self.write(level, key, value)

    def count(self, level: str, hit: bool) -> None:
        """Count a hit or a miss."""
        with self._counting:
            self._counts[level, hit] += 1

    def stats(self) -> dict[str, tuple[int, int]]:
        """Return hits and misses by level."""
        with self._counting:
            return {
                each: (self._counts[each, True], self._counts[each, False]) for each in self.levels
            }

    @abstractmethod
    def read(self, level: str, key: str) -> bytes | None:
        """Return what is kept without counting."""

    @abstractmethod
    def write(self, level: str, key: str, value: bytes) -> None:
        """Keep a value."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything, as after an erasure."""


class MemoryCache(Cache):
    """In this process: at most `entries` a level, the least recently used go first."""

    def __init__(
        self,
        levels: Mapping[str, float] = LEVELS,
        entries: int = _ENTRIES,
        timer: Callable[[], float] = time.monotonic,
    ):
        super().__init__(levels)
        self._kept: dict[str, TTLCache[str, bytes]] = {
            level: TTLCache(entries, seconds, timer) for level, seconds in self.levels.items()
        }
        self._lock = threading.Lock()

    def read(self, level: str, key: str) -> bytes | None:
        """Return what is kept without counting."""
        with self._lock:
            return self._kept[level].get(key)

    def write(self, level: str, key: str, value: bytes) -> None:
        """Keep a value."""
        with self._lock:
            self._kept[level][key] = value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            for kept in self._kept.values():
                kept.clear()


class RedisCache(Cache):
    """In Redis, shared by processes; how much it keeps is a matter of its own `maxmemory`.

    While Redis is out of reach everything is a miss, and it is left alone for some seconds.
    `failures` counts what it did not answer.
    """

    def __init__(self, url: str, levels: Mapping[str, float] = LEVELS, prefix: str = "mediadex"):
        from redis import Redis

        super().__init__(levels)
        self._redis = Redis.from_url(url, socket_timeout=_REDIS_S, socket_connect_timeout=_REDIS_S)
        self._prefix = prefix
        self._silent_until = float("-inf")
        self.failures = 0

    def read(self, level: str, key: str) -> bytes | None:
        """Return what is kept without counting."""
        return self._try(lambda: self._redis.get(self._name(level, key)))

    def write(self, level: str, key: str, value: bytes) -> None:
        """Keep a value."""
        milliseconds = max(1, round(self.levels[level] * 1000))
        self._try(lambda: self._redis.set(self._name(level, key), value, px=milliseconds))

    def clear(self) -> None:
        """Forget everything of this prefix; raises MediadexError while Redis does not answer."""
        from redis import RedisError

        try:
            names = list(self._redis.scan_iter(f"{self._prefix}:*", count=1000))
            if names:
                self._redis.delete(*names)
        except RedisError as error:
            raise MediadexError(
                "Redis does not answer, and may keep answers that name what is erased; "
                "start it again, or remove the setting `redis`"
            ) from error

    def _name(self, level: str, key: str) -> str:
        return f"{self._prefix}:{level}:{key}"

    def _try(self, work: Callable[[], Any]) -> Any:
        from redis import RedisError

        if time.monotonic() < self._silent_until:
            return None
        try:
            return work()
        except RedisError as error:
            self.failures += 1
            self._silent_until = time.monotonic() + _PAUSE_S
            told = "the cache in Redis does not answer: %s"
            logging.getLogger(LOGGER).warning(told, type(error).__name__)
            return None


class SemanticCache:
    """Answers of earlier queries that meant the same, by their vectors.

    Only queries of one scope are compared: all that an answer depends on but the words. Of a scope
    the last 256 are kept. Numbers, names of parts, negations, directions and dates are nearly the
    same to an encoder, so `text` must have the very same words of these, in the same order.
    """

    LEVEL = "semantic"

    def __init__(self, cache: Cache, alike: float = ALIKE):
        self._cache = cache
        self._alike = alike
        self._lock = threading.Lock()

    def get(self, scope: str, text: str, vector: np.ndarray) -> bytes | None:
        """Return the answer of the query most like this one, `None` where none is like it."""
        asked = unit(np.asarray(vector, np.float32))
        value = self._nearest(_place(scope, text, asked), asked)
        self._cache.count(self.LEVEL, value is not None)
        return value

    def set(self, scope: str, text: str, vector: np.ndarray, value: bytes) -> None:
        """Keep the answer of a query with a vector (d,)."""
        asked = unit(np.asarray(vector, np.float32))
        place = _place(scope, text, asked)
        key = key_of(place, asked.tobytes().hex())
        self._cache.write(self.LEVEL, key, value)
        entry = bytes.fromhex(key) + asked.tobytes()
        with self._lock:
            known = self._entries(place, len(entry))
            kept = [entry, *(each for each in known if each != entry)][:_NEIGHBOURS]
            self._cache.write(self.LEVEL, place, b"".join(kept))

    def _nearest(self, place: str, unit: np.ndarray) -> bytes | None:
        entries = self._entries(place, _KEY_BYTES + unit.nbytes)
        if not entries:
            return None
        vectors = np.stack([np.frombuffer(each, np.float32, offset=_KEY_BYTES) for each in entries])
        cosines = vectors @ unit
        for best in np.argsort(-cosines, kind="stable"):
            if cosines[best] <= self._alike:
                break
            key = entries[best][:_KEY_BYTES].hex()
            if (value := self._cache.read(self.LEVEL, key)) is not None:
                return value
        return None

    def _entries(self, place: str, size: int) -> list[bytes]:
        known = self._cache.read(self.LEVEL, place) or b""
        return [known[at : at + size] for at in range(0, len(known), size)]


_KEY_BYTES = 32


_WORD = re.compile(r"[+-]?\d(?:[.,:/-]?\w)*|\w+")
# They change what is asked, and hardly its vector. (`one` says as much as `a`.)
_CHANGING = """
no not never none nobody nothing neither nor without except
before after since until till from to into onto out on in off up down above below over under
beneath behind inside outside between through left right top bottom front back first last
than more most less least fewer
zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
hundred thousand million half twice
january february march april may june july august september october november december
monday tuesday wednesday thursday friday saturday sunday
"""
_EXACT = frozenset(_CHANGING.split())


def _place(scope: str, text: str, unit: np.ndarray) -> str:
    return key_of(scope, _exact(text), len(unit))


def _exact(text: str) -> list[list[str]]:
    """Return the words that must be the same, in their order, each with the next that it is about.

    So `from A to B` is not `from B to A`, and `not red but blue` is not `not blue but red`.
    """
    plain = text.casefold().replace("\u2019", "'").replace("n't", " not")
    words = _WORD.findall(plain)
    return [
        [word, *next((found for each in words[place:] if (found := terms(each))), [])]
        for place, word in enumerate(words, 1)
        if word in _EXACT or re.search(r"\d", word)
    ]

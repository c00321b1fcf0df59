"""Registering raw media: scan a source, read what is new or changed, and note it in the catalog."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from pipelines import outcomes
from pipelines.catalog import metadata
from pipelines.catalog.items import Catalog, IdTaken, Place
from pipelines.catalog.saying import Sayings
from pipelines.catalog.sources import Found, Problem, Source
from pipelines.catalog.uploads import folder_of
from pipelines.errors import BadInput
from pipelines.ledger import Barred, barred
from pipelines.privacy.pii import Detector
from pipelines.reading.fingerprint import fingerprint
from pipelines.reading.media import SNIFF_BYTES, NotMedia, image_size, perceptual_hash, sniff
from pipelines.reading.sound import decode_sound
from pipelines.reading.streams import probe
from pipelines.recipes import digest, digest_file
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import quoted, select
from pipelines.versions import code_version

STEP = "ingest"
# Files of one commit; each group costs one query over all items.
_TOGETHER = 256
_SOURCES = """
SELECT DISTINCT origin['source'] AS source FROM (SELECT unnest(origins) AS origin FROM items)
"""


class Erased(NotMedia):
    """A file that is, or stands in the place of, what was erased; it is skipped."""


class Undescribed(BadInput):
    """A new file of which nobody knows what is said, such as who may see it."""


# Whether these still hold cannot be told from the file that is refused.
_ALWAYS_TRIED = (IdTaken, Undescribed)


@dataclass
class IngestReport:
    """What a scan changed, in items; `batches` are those in which something did."""

    new: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    batches: set[str] = field(default_factory=set)
    refused: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


class _Waiting(NamedTuple):
    """A file that is to be read; `described` is the hash of what is said of it."""

    file: Found
    described: str
    recipe: str
    known: Place | None
    before: dict[str, Any] | None


def ingest(
    store: Store,
    url: str,
    detector: Detector,
    settings: Settings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> IngestReport:
    """Scan a source and bring the table of items up to date with it.

    Raises FileNotFoundError when the source does not exist. A file that cannot become an item is an
    outcome with a reason; it is not read again until it changes, or its next try is due.
    """
    started = time.monotonic()
    source = Source(url)
    found, problems = source.scan(exclude=str(settings.home.resolve()))
    with store.lock.shared():
        scan = _Scan(store, source, detector, settings)
        waiting = scan.waiting(found)
        with ThreadPoolExecutor(settings.workers) as pool:
            for start in range(0, len(waiting), _TOGETHER):
                group = waiting[start : start + _TOGETHER]
                scan.take(group, list(pool.map(scan.try_read, group)))
                progress(start + len(group), len(waiting))
        scan.forget(found, problems)
        report = scan.report(problems)
    report.seconds = time.monotonic() - started
    return report


def known_sources(store: Store) -> list[str]:
    """Return the URLs of every source that has items on record."""
    sources = select(_SOURCES, pa.schema([("source", pa.string())]), items=store.items)
    return sorted(sources["source"].to_pylist())


def all_sources(store: Store, settings: Settings) -> list[str]:
    """Return the URLs of every source that has items on record, and of uploads if there are any."""
    folder = folder_of(settings)
    uploads = {Source(str(folder)).url} if folder.exists() else set()
    return sorted({*known_sources(store), *uploads})


class _Scan:
    """One scan of a source: what was known of its files, and what becomes of them."""

    def __init__(self, store: Store, source: Source, detector: Detector, settings: Settings):
        self._store = store
        self._source = source
        self._detector = detector
        self._settings = settings
        masking = detector.identity.key
        self._policy = digest(code_version(STEP, CODE), str(settings.max_bytes), masking)
        self._sayings = Sayings(detector)
        self._catalog = Catalog(store, source.url, settings.batch_items, self._sayings.of)
        self._refused: list[dict[str, Any]] = []
        url, below = quoted(source.url), quoted(f"{source.url.rstrip('/')}/")
        where = (
            f"step = {quoted(STEP)} AND (key = {quoted(digest(source.url))} "
            f"OR uri = {url} OR starts_with(uri, {below}))"
        )
        self._before = {row["key"]: row for row in store.outcomes.rows(where=where)}

    @cached_property
    def _erased(self) -> Barred:
        return barred(self._store)

    def waiting(self, found: Sequence[Found]) -> list[_Waiting]:
        """Return the files that are to be read, and note those that stay refused."""
        self._sayings.found(found)
        now = outcomes.now()
        waiting = []
        for file in found:
            known = self._catalog.place(file.uri)
            described = self._metadata_hash(file, known)
            if known and (known.fingerprint, known.metadata_hash) == (file.fingerprint, described):
                continue
            recipe = digest(self._policy, file.fingerprint, described)
            before = self._before.get(digest(file.uri))
            retried = before and before["error"] in {each.__name__ for each in _ALWAYS_TRIED}
            if before is None or retried or outcomes.is_due(before, recipe, now):
                waiting.append(_Waiting(file, described, recipe, known, before))
            else:
                self._refused.append(before)
        # Known places first: a file that changed keeps its id even if a new one holds its old bytes
        return sorted(waiting, key=lambda entry: (entry.known is None, entry.file.uri))

    def _metadata_hash(self, file: Found, known: Place | None) -> str:
        if file.metadata is None:
            return known.metadata_hash if known else ""
        return metadata.hash_of(file.metadata, self._detector)

    def try_read(self, entry: _Waiting) -> dict[str, Any] | Exception:
        """Return what the catalog keeps of a file's bytes, or why it keeps nothing."""
        uri = entry.file.uri
        try:
            self._admit(uri, "")
            content = _read(self._source, entry.file, self._settings)
            self._admit(uri, content["content_hash"])
            return content
        except Exception as error:
            return error

    def _admit(self, uri: str, content_hash: str) -> None:
        if self._erased.bars(uri, content_hash):
            raise Erased("it was erased; the same place or bytes are not indexed again")

    def take(
        self, group: Sequence[_Waiting], contents: Sequence[dict[str, Any] | Exception]
    ) -> None:
        """Register a group of files, or note why they are refused, and write it."""
        pairs = list(zip(group, contents, strict=True))
        self._catalog.expect(
            (entry.file.uri, content["content_hash"], (entry.file.metadata or {}).get("item_id"))
            for entry, content in pairs
            if not isinstance(content, Exception)
        )
        for entry, content in pairs:
            try:
                if isinstance(content, Erased):
                    raise content
                name = entry.file.file_name
                if metadata.redact_name(name, self._detector) != name:
                    raise BadInput("its name holds personal data; rename the file")
                if isinstance(content, Exception):
                    raise content
                if entry.known is None and entry.file.metadata is None:
                    raise Undescribed("the metadata beside it cannot be read; mend them")
                self._register(entry.file, entry.described, content)
            except Exception as error:
                self._refused.append(self._refusal(entry, error))
        self._catalog.flush()

    def _register(self, file: Found, described: str, content: Mapping[str, Any]) -> None:
        clean: dict[str, Any] | None = None
        findings: list[dict[str, Any]] = []
        if file.metadata is not None:
            clean, findings = metadata.redact_metadata(file.metadata, self._detector)
        origin = {
            "uri": file.uri,
            "source": self._source.url,
            "file_name": file.file_name,
            "fingerprint": file.fingerprint,
            "metadata_hash": described,
        }
        self._catalog.register(origin, content, clean, findings)

    def _refusal(self, entry: _Waiting, error: Exception) -> dict[str, Any]:
        said = outcomes.failure(
            error,
            entry.recipe,
            None if isinstance(error, _ALWAYS_TRIED) else entry.before,
            self._settings.retry_budget,
            self._settings.retry_delay_s,
        )
        # What was erased is not named again; by the folder its source still forgets the outcome.
        uri = (
            self._source.folder_url
            if isinstance(error, Erased)
            else _shown(entry.file.uri, self._source, self._detector)
        )
        return outcomes.outcome(digest(entry.file.uri), STEP, uri=uri, **said)

    def forget(self, found: Sequence[Found], problems: Sequence[Problem]) -> None:
        """Take from the catalog what is no longer there, save what cannot be seen just now."""
        unreadable = [problem.uri for problem in problems if not problem.permanent]
        gone = self._catalog.vanished({file.uri for file in found}, unreadable)
        for start in range(0, len(gone), _TOGETHER):
            group = gone[start : start + _TOGETHER]
            self._catalog.expect((uri, None, None) for uri in group)
            for uri in group:
                self._catalog.forget(uri)
            self._catalog.flush()

    def report(self, problems: Sequence[Problem]) -> IngestReport:
        """Write what became of the refused files, and count what happened."""
        self._refused += [
            _unreadable(problem, self._source, self._detector) for problem in problems
        ]
        changes = self._catalog.changes()
        tally = Counter(changes.values())
        return IngestReport(
            new=tally["new"],
            changed=tally["changed"],
            deleted=tally["deleted"],
            unchanged=len(self._catalog.registered() - changes.keys()),
            batches=self._catalog.batches(changes),
            refused=self._record(),
        )

    def _record(self) -> list[dict[str, Any]]:
        """Write the refusals that are new, forget those that no longer hold, and return all."""
        now = {row["key"]: row for row in self._refused}
        refused = [now[key] for key in sorted(now)]
        compared = ("recipe", "status", "reason", "attempts")
        fresh = [
            row
            for row in refused
            if any(row[name] != self._before.get(row["key"], {}).get(name) for name in compared)
        ]
        outcomes.record(self._store.outcomes, STEP, fresh)
        outcomes.forget(self._store.outcomes, STEP, self._before.keys() - now.keys())
        return refused


def _read(source: Source, file: Found, settings: Settings) -> dict[str, Any]:
    """Read a file and return what the catalog keeps of its bytes.

    Sound and video are read block by block, since they may not fit into memory.
    """
    with source.open(file.path) as stream:
        head = stream.read(SNIFF_BYTES)
        media = sniff(head, file.file_name)
        streams = media.kind in {"audio", "video"}
        bound, most = (
            ("max_stream_bytes", settings.max_stream_bytes)
            if streams
            else ("max_bytes", settings.max_bytes)
        )
        if file.size > most:
            raise BadInput(f"{file.size:,} bytes, more than {bound} = {most:,}")
        if streams:
            return (
                _NOTHING
                | _streams(stream, settings)
                | _subtitles(source, file)
                | {
                    "media_type": media.mime,
                    "content_hash": digest_file(stream),
                    "size": file.size,
                }
            )
        data = head + stream.read()
    width, height = (image_size(data) if media.kind == "image" else None) or (None, None)
    return _NOTHING | {
        "kind": media.kind,
        "media_type": media.mime,
        "content_hash": digest(data),
        "perceptual_hash": perceptual_hash(data, settings) if media.kind == "image" else None,
        "size": len(data),
        "width": width,
        "height": height,
        "modalities": ["text"] if media.kind == "text" else ["pictures"],
    }


# What is noted of a file's bytes where it applies; the next bytes of the file may be of other kind.
_NOTHING: dict[str, Any] = dict.fromkeys(
    (
        *("perceptual_hash", "sound_hash", "subtitles", "subtitles_hash"),
        *("width", "height", "duration_s", "modalities"),
    )
)


def _streams(stream: BinaryIO, settings: Settings) -> dict[str, Any]:
    """Return what sound or video consists of. Whether it is the one or the other, it tells."""
    found = probe(stream, settings)
    return {
        "kind": found.kind,
        "sound_hash": _sound_hash(stream, settings) if found.sound else None,
        "width": found.width,
        "height": found.height,
        "duration_s": found.duration_s,
        "modalities": found.modalities,
    }


def _sound_hash(stream: BinaryIO, settings: Settings) -> str | None:
    try:
        return fingerprint(decode_sound(stream, settings))
    except BadInput:
        return None  # transcribing will say what is wrong with it


def _subtitles(source: Source, file: Found) -> dict[str, Any]:
    if file.subtitles is None:
        return {}
    return {
        "subtitles": source.uri(file.subtitles),
        "subtitles_hash": digest(source.read(file.subtitles)),
    }


def _shown(uri: str, source: Source, detector: Detector) -> str:
    """Mask a uri part by part below the folder of its source, which is known by its own name."""
    folder = source.folder_url
    parts = uri.removeprefix(folder).split("/")
    return folder + "/".join(metadata.redact_name(part, detector) for part in parts)


def _unreadable(problem: Problem, source: Source, detector: Detector) -> dict[str, Any]:
    return outcomes.outcome(
        digest(problem.uri),
        STEP,
        "quarantined" if problem.permanent else "failed",
        "",
        uri=_shown(problem.uri, source, detector),
        error="Unreadable",
        reason=problem.reason,
    )


CODE = (_read, _streams, _subtitles, sniff, image_size, probe)
"""The code that decides whether a file becomes an item."""

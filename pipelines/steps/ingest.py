"""Registering raw media: scan a source, read what is new or changed, and note it in the catalog."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipelines import outcomes
from pipelines.catalog import metadata
from pipelines.catalog.items import Catalog
from pipelines.catalog.sources import Found, Problem, Source
from pipelines.errors import BadInput
from pipelines.privacy.pii import Detector
from pipelines.reading.media import image_size, perceptual_hash, read_head, sniff
from pipelines.recipes import digest, digest_json
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import quoted

STEP = "ingest"
VERSION = "1"
_READ_TOGETHER = 64


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


def ingest(
    store: Store,
    url: str,
    detector: Detector,
    settings: Settings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> IngestReport:
    """Scan a source and bring the table of items up to date with it.

    Raises FileNotFoundError when the source does not exist. A file that cannot become an item is an
    outcome with a reason; it is not read again until it changes.
    """
    started = time.monotonic()
    source = Source(url)
    found, problems = source.scan(exclude=str(settings.home.resolve()))
    catalog = Catalog(store, settings.batch_items)
    report = IngestReport()
    policy = digest(VERSION, str(settings.max_bytes), detector.identity.key)
    before = {row["key"]: row for row in store.outcomes.rows(where=f"step = {quoted(STEP)}")}
    waiting: list[tuple[bool, Found, str]] = []
    for file in found:
        known = catalog.origin(file.uri)
        described = _metadata_hash(file, known, detector)
        refusal = before.get(digest(file.uri))
        if known and (known["fingerprint"], known["metadata_hash"]) == (
            file.fingerprint,
            described,
        ):
            continue
        if refusal and refusal["recipe"] == digest(policy, file.fingerprint, described):
            report.refused.append(refusal)
        else:
            waiting.append((known is None, file, described))
    # Known places first: a file that changed keeps its id even if a new file holds its old bytes.
    waiting.sort(key=lambda entry: (entry[0], entry[1].uri))
    with ThreadPoolExecutor(settings.workers) as pool:
        for start in range(0, len(waiting), _READ_TOGETHER):
            group = waiting[start : start + _READ_TOGETHER]
            contents = pool.map(lambda entry: _try_read(source, entry[1], settings), group)
            for (_, file, described), content in zip(group, contents, strict=True):
                try:
                    if metadata.redact_name(file.file_name, detector) != file.file_name:
                        raise BadInput("its name holds personal data; rename the file")
                    if isinstance(content, Exception):
                        raise content
                    _register(catalog, source, file, described, content, detector)
                except Exception as error:
                    recipe = digest(policy, file.fingerprint, described)
                    uri = _shown(file.uri, source, detector)
                    report.refused.append(_refusal(file, uri, recipe, error))
            catalog.flush()
            progress(min(start + _READ_TOGETHER, len(waiting)), len(waiting))
    unreadable = [problem.uri for problem in problems if not problem.permanent]
    for uri in catalog.vanished(source.url, {file.uri for file in found}, unreadable):
        catalog.forget(uri)
    catalog.flush()
    changes = catalog.changes()
    tally = Counter(changes.values())
    report.new, report.changed, report.deleted = tally["new"], tally["changed"], tally["deleted"]
    report.unchanged = len(catalog.of_source(source.url) - changes.keys())
    report.batches = catalog.batches(changes)
    report.refused += [_unreadable(problem, source, detector) for problem in problems]
    _record(store, source, report, before)
    report.seconds = time.monotonic() - started
    return report


def known_sources(store: Store) -> list[str]:
    """Return the URLs of every source that has items on record."""
    origins = (row["origins"] for row in store.items.rows(["origins"], "deleted = false"))
    return sorted({origin["source"] for some in origins for origin in some})


def _metadata_hash(file: Found, known: Mapping[str, Any] | None, detector: Detector) -> str:
    if file.metadata is None:
        return known["metadata_hash"] if known else ""
    if not file.metadata:
        return ""
    return digest(metadata.VERSION, digest_json(file.metadata), detector.identity.key)


def _try_read(source: Source, file: Found, settings: Settings) -> dict[str, Any] | Exception:
    try:
        return _read(source, file, settings)
    except Exception as error:
        return error


def _read(source: Source, file: Found, settings: Settings) -> dict[str, Any]:
    """Read a file and return what the catalog keeps of its bytes."""
    if file.size > settings.max_bytes:
        raise BadInput(f"{file.size:,} bytes, more than max_bytes = {settings.max_bytes:,}")
    data = source.read(file.path)
    media = sniff(read_head(data), file.file_name)
    width, height = (image_size(data) if media.kind == "image" else None) or (None, None)
    return {
        "kind": media.kind,
        "media_type": media.mime,
        "content_hash": digest(data),
        "perceptual_hash": perceptual_hash(data, settings) if media.kind == "image" else None,
        "size": len(data),
        "width": width,
        "height": height,
    }


def _register(
    catalog: Catalog,
    source: Source,
    file: Found,
    described: str,
    content: Mapping[str, Any],
    detector: Detector,
) -> None:
    clean: dict[str, Any] | None = None
    findings: list[dict[str, Any]] = []
    if file.metadata is not None:
        clean, findings = metadata.redact_metadata(file.metadata, detector)
    origin = {
        "uri": file.uri,
        "source": source.url,
        "file_name": file.file_name,
        "fingerprint": file.fingerprint,
        "metadata_hash": described,
    }
    catalog.register(origin, content, clean, findings)


def _shown(uri: str, source: Source, detector: Detector) -> str:
    """Mask a uri part by part below the folder of its source, which is known by its own name."""
    folder = source.folder_url
    parts = uri.removeprefix(folder).split("/")
    return folder + "/".join(metadata.redact_name(part, detector) for part in parts)


def _refusal(file: Found, uri: str, recipe: str, error: Exception) -> dict[str, Any]:
    status, reason = outcomes.classify(error)
    return outcomes.outcome(
        digest(file.uri),
        STEP,
        status,
        "" if status == "failed" else recipe,
        uri=uri,
        error=type(error).__name__,
        reason=reason,
    )


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


def _record(
    store: Store, source: Source, report: IngestReport, before: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the refusals that are new and forget those of this source that no longer hold."""
    now = {row["key"]: row for row in report.refused}
    report.refused = [now[key] for key in sorted(now)]
    compared = ("recipe", "status", "reason")
    fresh = [
        row
        for row in report.refused
        if any(row[name] != before.get(row["key"], {}).get(name) for name in compared)
    ]
    outcomes.record(store.outcomes, STEP, fresh)
    gone = [
        key
        for key, row in before.items()
        if key not in now
        and (key == digest(source.url) or row["uri"].startswith(f"{source.url.rstrip('/')}/"))
    ]
    outcomes.forget(store.outcomes, STEP, gone)

"""What is said by now of the origins of items: read where they are, redacted, each file once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pipelines.catalog import metadata
from pipelines.catalog.sources import Found, Source, locate
from pipelines.errors import BadInput
from pipelines.privacy.pii import Detector


class Said(NamedTuple):
    """Redacted metadata of a file, and what was found in it."""

    described: dict[str, Any]
    findings: list[dict[str, Any]]


Asked = Callable[[Mapping[str, Any]], Said | None]
"""Tells what is said of an origin, `None` where that cannot be told."""


class Sayings:
    """What metadata says of an origin, as long as it is what the origin was registered with.

    Something else, or what cannot be read, is `None`: nobody knows then whether the file is still
    the same. Metadata of other sources is read from their folders, not by scanning them.
    """

    def __init__(self, detector: Detector):
        self._detector = detector
        self._here: dict[str, Mapping[str, Any] | None] = {}
        self._sources: dict[str, Source] = {}
        self._clean: dict[str, Said | None] = {}

    def found(self, files: Sequence[Found]) -> None:
        """Take in what a scan read already."""
        self._here = {file.uri: file.metadata for file in files}

    def of(self, origin: Mapping[str, Any]) -> Said | None:
        """Return what is said of an origin, in the form of the table of items."""
        key = origin["metadata_hash"]
        if key not in self._clean:
            told = self._read(origin["source"], origin["uri"])
            if told is None or metadata.hash_of(told, self._detector) != key:
                return None
            try:
                self._clean[key] = Said(*metadata.redact_metadata(told, self._detector))
            except BadInput:
                self._clean[key] = None
        return self._clean[key]

    def _read(self, source: str, uri: str) -> Mapping[str, Any] | None:
        if uri in self._here:
            return self._here[uri]
        try:
            opened = self._sources.setdefault(source, Source(source))
            return opened.described(locate(uri)[1])
        except (OSError, ValueError, ImportError):
            return None

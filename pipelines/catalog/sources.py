"""Where raw media come from: any folder or fsspec URL, with ImageFolder metadata beside files."""

import csv
import io
import json
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec
from fsspec.utils import get_protocol

from pipelines.recipes import digest

METADATA_FILES = ("metadata.jsonl", "metadata.csv")
_SUBTITLES = {".vtt", ".srt"}


@dataclass(frozen=True)
class Found:
    """A file of a source. `fingerprint` changes whenever the file does, without reading it.

    `metadata` is `None` where it cannot be told, because a metadata file could not be read in full.
    `subtitles` is the path of the file beside it that says what is spoken in it; the fingerprint
    covers that too.
    """

    uri: str
    path: str
    file_name: str
    size: int
    fingerprint: str
    metadata: Mapping[str, Any] | None
    subtitles: str | None = None


@dataclass(frozen=True)
class Problem:
    """Something of a source that could not be read. `permanent` ones wait until it changes."""

    uri: str
    reason: str
    permanent: bool


def locate(uri: str) -> tuple[Any, str]:
    """Return the file system of a path or URL and the path on it, without `..` where it is local.

    A name may hold `::`, which fsspec would take for a chain of file systems.
    """
    protocol = get_protocol(uri)
    files = fsspec.filesystem(protocol)
    path = files._strip_protocol(uri)
    return files, posixpath.normpath(path) if protocol in {"file", "local"} else path


class Source:
    """A folder by path or URL (`s3://…`, `file://…`, `memory://…`)."""

    def __init__(self, url: str):
        self.files, root = locate(url)
        self.root = root.rstrip("/") or "/"
        # Asked once, since a file system takes its time to tell it for each of many files.
        self._protocol = self.files.unstrip_protocol(self.root).removesuffix(self.root)
        self.url = self.uri(self.root)
        self._read: dict[str, tuple[dict[str, dict[str, Any]], bool]] = {}

    def require(self) -> "Source":
        """Return this source, or raise FileNotFoundError where there is nothing at its URL."""
        if not self.files.exists(self.root):
            raise FileNotFoundError(f"there is no folder or file {self.url}")
        return self

    def read(self, path: str) -> bytes:
        """Read a whole file of this source."""
        return self.files.cat_file(path)

    def open(self, path: str) -> BinaryIO:
        """Open a file of this source for reading where one wants."""
        return self.files.open(path, "rb")

    def uri(self, path: str) -> str:
        """Return the printable URI of a path of this source."""
        return _printable(self._protocol + path)

    def scan(self, exclude: str = "") -> tuple[list[Found], list[Problem]]:
        """List every file below the root in stable order, with what could not be read.

        The folder `exclude` is left out: a home inside the source must not be indexed. Raises
        FileNotFoundError when the root itself does not exist.
        """
        self.require()
        self.files.invalidate_cache()
        found: list[Found] = []
        problems: list[Problem] = []
        metadata: dict[str, dict[str, Any]] = {}
        doubtful: list[str] = []

        def described(path: str) -> dict[str, Any] | None:
            unknown = path not in metadata and path.startswith(tuple(doubtful))
            return None if unknown else metadata.get(path, {})

        # A row describes files of its folder or of those in it, which come later.
        for folder, files in self._folders(problems, locate(exclude)[1] if exclude else None):
            rows, complete = self._metadata(folder, files, problems)
            metadata |= rows
            if not complete:
                doubtful.append(f"{folder.rstrip('/')}/")
            subtitles = {_stem(name): name for name in sorted(files) if _is_subtitles(name)}
            for name, info in files.items():
                if name not in METADATA_FILES and not _is_subtitles(name):
                    beside = files.get(subtitles.get(_stem(name), ""))
                    self._add(info, described, beside, found, problems)
            orphans = subtitles.keys() - {_stem(n) for n in files if not _is_subtitles(n)}
            problems.extend(
                Problem(
                    self.uri(files[subtitles[stem]]["name"]),
                    "subtitles, but no sound or video of the same name is beside them",
                    True,
                )
                for stem in sorted(orphans)
            )
        paths = {file.path for file in found}
        problems.extend(
            Problem(self.uri(path), "metadata names this file, but it is not there", True)
            for path in sorted(metadata.keys() - paths)
        )
        return sorted(found, key=lambda file: file.uri), problems

    def listing(self, exclude: str = "") -> str:
        """Return a digest that changes whenever a file below the root does; reads no file.

        Raises OSError where nothing can be listed.
        """
        self.require()
        self.files.invalidate_cache()
        folders = self._folders([], locate(exclude)[1] if exclude else None)
        files = (info for _, listed in folders for info in listed.values())
        return digest(*sorted(f"{info['name']}|{_fingerprint(info)}" for info in files))

    def described(self, path: str) -> dict[str, Any] | None:
        """Return what metadata says of one file of this source, as a scan would.

        Each metadata file is read once; `None` where one cannot be read in full. Raises OSError
        where the source cannot be reached.
        """
        said: dict[str, Any] = {}
        if path == self.root:
            return said  # of a source that is one file, nothing beside it is read
        root = self.root.rstrip("/")
        folders = posixpath.dirname(path).removeprefix(root).strip("/").split("/")
        for depth in range(len(folders) + 1 if folders[0] else 1):
            rows, complete = self._described_in("/".join((root, *folders[:depth])) or "/")
            if not complete:
                return None
            said = rows.get(path, said)
        return said

    def _described_in(self, folder: str) -> tuple[dict[str, dict[str, Any]], bool]:
        if folder not in self._read:
            paths = {name: f"{folder.rstrip('/')}/{name}" for name in METADATA_FILES}
            files = {name: {"name": at} for name, at in paths.items() if self.files.exists(at)}
            self._read[folder] = self._metadata(folder, files, [])
        return self._read[folder]

    @property
    def folder_url(self) -> str:
        """URL of the scanned folder; of a single file, that of its folder."""
        return self.uri(self.root)

    def _folders(
        self, problems: list[Problem], exclude: str | None
    ) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """Yield folders, each before those in it, with the info of their files by name."""
        if self.files.isfile(self.root):
            info = self.files.info(self.root)
            folder, name = self.root.rsplit("/", 1)
            self.root = folder or "/"
            yield self.root, {name: info}
            return
        # Not fsspec's walk: it forgets its error handler below the first level.
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            try:
                listing = self.files.ls(folder, detail=True)
            except OSError as error:
                reason = f"the folder cannot be read: {_why(error)}"
                problems.append(Problem(self.uri(folder), reason, False))
                continue
            files = {}
            for info in listing:
                path = info["name"].rstrip("/")
                name = path.rsplit("/", 1)[-1]
                if path in (folder, exclude) or name.startswith("."):
                    continue
                if info["type"] == "directory":
                    waiting.append(path)
                else:
                    files[name] = info
            yield folder, files

    def _metadata(
        self, folder: str, files: Mapping[str, Any], problems: list[Problem]
    ) -> tuple[dict[str, dict[str, Any]], bool]:
        """Read a folder's metadata: path of each named file to its row, and whether that is all."""
        rows: dict[str, dict[str, Any]] = {}
        before = len(problems)
        for name in METADATA_FILES:
            if name not in files:
                continue
            path = files[name]["name"]
            uri = self.uri(path)
            try:
                text = self.read(path).decode("utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(Problem(uri, f"metadata cannot be read: {_why(error)}", False))
                continue
            for row in _parse(name, text, uri, problems):
                named = posixpath.normpath(str(row.pop("file_name")))
                rows[f"{folder.rstrip('/')}/{named}"] = row
        return rows, len(problems) == before

    def _add(
        self,
        info: Mapping[str, Any],
        described: Callable[[str], dict[str, Any] | None],
        subtitles: Mapping[str, Any] | None,
        found: list[Found],
        problems: list[Problem],
    ) -> None:
        path = info["name"]
        raw = self._protocol + path
        uri = _printable(raw)
        if uri != raw:
            problems.append(Problem(uri, "its name is not valid UTF-8; rename the file", True))
            return
        try:
            # A link is listed with its own time stamp; what counts is that of its target.
            info = self.files.info(path) if info.get("islink") else info
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            problems.append(Problem(uri, f"a link that cannot be followed: {_why(error)}", gone))
            return
        if info["type"] == "directory":
            reason = "a link to a folder is not followed; index that folder itself"
            problems.append(Problem(uri, reason, True))
        elif info["type"] != "file":
            problems.append(
                Problem(uri, "it is no regular file but a pipe, socket or device", True)
            )
        else:
            name = path.removeprefix(self.root).lstrip("/")
            size = int(info.get("size") or 0)
            known_by = _fingerprint(info)
            if subtitles:
                known_by += f"|{_fingerprint(subtitles)}"
            beside = subtitles["name"] if subtitles else None
            found.append(Found(uri, path, name, size, known_by, described(path), beside))


# What a file system tells of a file that changes with its bytes; `created` is ctime on a disk,
# which shows also what put back the old time stamp.
_STAMPS = ("size", "ETag", "etag", "md5Hash", "LastModified", "mtime", "created", "ino")


def _fingerprint(info: Mapping[str, Any]) -> str:
    return ":".join(str(info[key]) for key in _STAMPS if info.get(key) is not None)


def _is_subtitles(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in _SUBTITLES


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _why(error: Exception) -> str:
    code = getattr(error, "errno", None)
    return os.strerror(code) if code else type(error).__name__


def _parse(name: str, text: str, uri: str, problems: list[Problem]) -> Iterator[dict[str, Any]]:
    """Yield the good rows of a metadata file and note the broken ones by line, never their text."""

    def broken(line: int, reason: str) -> None:
        problems.append(Problem(f"{uri}#line={line}", reason, True))

    rows = _csv_lines(text, broken) if name.endswith(".csv") else _json_lines(text, broken)
    for line, row in rows:
        if not isinstance(row, dict) or not row.get("file_name") or None in row:
            broken(line, "a metadata row needs the key file_name and as many values as columns")
            continue
        yield {key: value for key, value in row.items() if value not in (None, "", [])}


def _json_lines(text: str, broken: Callable[[int, str], None]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            # Only an escape can spell half a character, which is no text.
            if "\\u" in line:
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            broken(number, "this metadata line is not valid JSON of valid text")
            continue
        yield number, row


def _csv_lines(text: str, broken: Callable[[int, str], None]) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text))
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            broken(reader.reader.line_num, "this metadata line is not valid CSV")
            continue
        if row is None:
            return
        yield reader.line_num, row

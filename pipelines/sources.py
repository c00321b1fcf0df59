"""Where raw media come from: any folder or fsspec URL, with ImageFolder metadata beside the files."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import fsspec

METADATA_FILES = ("metadata.jsonl", "metadata.csv")
_SUBTITLES = {".vtt", ".srt"}


@dataclass(frozen=True)
class Found:
    """A file of a source. `fingerprint` changes whenever the file does, without reading it."""

    uri: str
    path: str
    file_name: str
    size: int
    fingerprint: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """Something of a source that could not be read. `permanent` ones wait until it changes."""

    uri: str
    reason: str
    permanent: bool


class Source:
    """A folder by path or URL (`s3://…`, `file://…`, `memory://…`)."""

    def __init__(self, url: str):
        self.files, root = fsspec.core.url_to_fs(url)
        self.root = root.rstrip("/")
        self.url = self.files.unstrip_protocol(self.root)

    def require(self) -> "Source":
        """Return this source, or raise FileNotFoundError where there is nothing at its URL."""
        if not self.files.exists(self.root):
            raise FileNotFoundError(f"there is no folder or file {self.url}")
        return self

    def read(self, path: str) -> bytes:
        """Read a whole file of this source."""
        return self.files.cat_file(path)

    def scan(self) -> tuple[list[Found], list[Problem]]:
        """List every file below the root in stable order, with what could not be read.

        Raises FileNotFoundError when the root itself does not exist.
        """
        self.require()
        found: list[Found] = []
        problems: list[Problem] = []

        def unreadable(error: OSError) -> None:
            path = str(getattr(error, "filename", None) or self.root)
            uri = self.files.unstrip_protocol(path)
            problems.append(Problem(_printable(uri), f"the folder cannot be read: {_why(error)}", False))

        metadata: dict[str, dict[str, Any]] = {}
        for folder, files in self._folders(unreadable):
            metadata |= self._metadata(folder, files, problems)
            for name, info in files.items():
                if not _is_sidecar(name):
                    self._add(folder, name, info, found, problems)
        paths = {file.path for file in found}
        problems.extend(
            Problem(
                _printable(self.files.unstrip_protocol(path)),
                "metadata names this file, but it is not there",
                True,
            )
            for path in sorted(metadata.keys() - paths)
        )
        files_with_rows = (replace(file, metadata=metadata.get(file.path, {})) for file in found)
        return sorted(files_with_rows, key=lambda file: file.uri), problems

    def _folders(
        self, unreadable: Callable[[OSError], None]
    ) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        if self.files.isfile(self.root):
            folder, name = self.root.rsplit("/", 1)
            self.root = folder
            yield folder, {name: self.files.info(f"{folder}/{name}")}
            return
        for folder, folders, files in self.files.walk(self.root, detail=True, on_error=unreadable):
            for hidden in [name for name in folders if name.startswith(".")]:
                del folders[hidden]
            yield folder, {name: info for name, info in files.items() if not name.startswith(".")}

    def _metadata(
        self, folder: str, files: Mapping[str, Any], problems: list[Problem]
    ) -> dict[str, dict[str, Any]]:
        """Read a folder's metadata file: full path of each named file to its row."""
        rows: dict[str, dict[str, Any]] = {}
        for name in METADATA_FILES:
            if name not in files:
                continue
            uri = self.files.unstrip_protocol(f"{folder}/{name}")
            try:
                text = self.files.cat_file(f"{folder}/{name}").decode("utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(Problem(uri, f"metadata cannot be read: {_why(error)}", False))
                continue
            for row in _parse(name, text, uri, problems):
                rows[f"{folder}/{row.pop('file_name')}"] = row
        return rows

    def _add(
        self,
        folder: str,
        name: str,
        info: Mapping[str, Any],
        found: list[Found],
        problems: list[Problem],
    ) -> None:
        path = f"{folder}/{name}"
        uri = self.files.unstrip_protocol(path)
        if _printable(uri) != uri:
            problems.append(
                Problem(_printable(uri), "its name is not valid UTF-8; rename the file", True)
            )
            return
        if info.get("islink") and not self.files.isfile(path):
            problems.append(Problem(uri, "a link that leads to no file", True))
            return
        found.append(
            Found(
                uri=uri,
                path=path,
                file_name=path[len(self.root) + 1 :],
                size=int(info.get("size") or 0),
                fingerprint=_fingerprint(info),
            )
        )


def _fingerprint(info: Mapping[str, Any]) -> str:
    stamp = next((info[key] for key in ("ETag", "etag", "md5Hash", "mtime") if info.get(key)), None)
    stamp = stamp or info.get("LastModified") or info.get("created") or ""
    return f"{info.get('size')}:{stamp}:{info.get('ino', '')}"


def _is_sidecar(name: str) -> bool:
    return name in METADATA_FILES or PurePosixPath(name).suffix.lower() in _SUBTITLES


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _parse(name: str, text: str, uri: str, problems: list[Problem]) -> Iterator[dict[str, Any]]:
    """Yield the good rows of a metadata file and note the broken ones by line, never their text."""

    def broken(line: int, reason: str) -> None:
        problems.append(Problem(f"{uri}#line={line}", reason, True))

    if name.endswith(".csv"):
        reader = csv.DictReader(io.StringIO(text))
        rows: Iterator[tuple[int, Any]] = ((reader.line_num, row) for row in reader)
    else:
        rows = _json_lines(text, broken)
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
            yield number, json.loads(line)
        except ValueError:
            broken(number, "this metadata line is not valid JSON")

"""Files under any URI, with their sizes and ages; and what nothing points to any more."""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import fsspec

# Where a file system tells when a file was last written.
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")


class File(NamedTuple):
    """A file: its path on its file system, bytes, and when it was written, where that is told."""

    path: str
    size: int
    written: dt.datetime | None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def is_older(self, than: dt.datetime) -> bool:
        """Tell whether the file was surely written before a time."""
        return self.written is not None and self.written < than


def below(uri: str, storage_options: Mapping[str, Any] | None = None) -> list[File]:
    """List all files below a URI; none where there is nothing."""
    files, root = fsspec.core.url_to_fs(uri, **(storage_options or {}))
    files.invalidate_cache()
    found = files.find(root, detail=True)
    return [File(path, int(info.get("size") or 0), _time(info)) for path, info in found.items()]


def total(files: Collection[File]) -> int:
    """Return the bytes of all files together."""
    return sum(file.size for file in files)


def remove(
    uri: str, doomed: Collection[File], storage_options: Mapping[str, Any] | None = None
) -> None:
    """Delete files that `below` found under a URI."""
    files, _ = fsspec.core.url_to_fs(uri, **(storage_options or {}))
    if doomed:
        files.rm([file.path for file in doomed])


def _time(info: Mapping[str, Any]) -> dt.datetime | None:
    value = next((info[key] for key in _TIMES if info.get(key) is not None), None)
    if isinstance(value, int | float):
        return dt.datetime.fromtimestamp(value, dt.UTC)
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if not isinstance(value, dt.datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=dt.UTC)

"""Redacted derivatives and thumbnails, addressed by the hash of their bytes."""

import uuid
from functools import cached_property
from typing import Any

import fsspec

from pipelines.recipes import digest


class BlobStore:
    """Immutable files under a root URI. The same bytes are kept once."""

    def __init__(self, root: str, storage_options: dict[str, Any] | None = None):
        self._root = root
        self._options = storage_options or {}

    @cached_property
    def _files(self) -> tuple[Any, str]:
        return fsspec.core.url_to_fs(self._root, **self._options)

    def _path(self, name: str) -> str:
        return f"{self._files[1]}/{name[:2]}/{name}"

    def put(self, data: bytes, suffix: str) -> str:
        """Store bytes and return their name: hash plus suffix, such as `3f…e1.jpg`."""
        files, name = self._files[0], digest(data) + suffix
        path = self._path(name)
        if not files.exists(path):
            files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            partial = f"{path}.{uuid.uuid4().hex}.part"
            files.pipe_file(partial, data)
            files.mv(partial, path)
        return name

    def get(self, name: str) -> bytes:
        """Read the bytes of a name; raises FileNotFoundError when it was never stored."""
        return self._files[0].cat_file(self._path(name))

    def names(self) -> list[str]:
        """Return the names of all blobs, and of what writers that were killed left unfinished."""
        files, root = self._files
        files.invalidate_cache()
        return sorted(path.rsplit("/", 1)[1] for path in files.find(root))

    def remove(self, name: str) -> None:
        """Remove a blob that nothing refers to."""
        self._files[0].rm_file(self._path(name))

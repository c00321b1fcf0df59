"""Trees of files behind fsspec URIs, and the pool in which each content lies once, by digest."""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import fsspec

from pipelines.errors import MediadexError

Progress = Callable[[int, int], None]

_CHUNK = 8 << 20
# What file systems call that which changes with a file's content.
_STAMPS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created", "ino")


class SnapshotDamaged(MediadexError):
    """A snapshot that does not give back what was put into it; says which file or table."""


class Found(NamedTuple):
    """What a listing tells of a file: bytes, and a stamp that another content would not have."""

    size: int
    stamp: str


class Kept(NamedTuple):
    """A file in the pool: bytes, SHA-256, and the stamp of the original when it was read."""

    size: int
    digest: str
    stamp: str


class Tree:
    """The files under a URI, by path relative to it."""

    def __init__(self, uri: str, storage_options: Mapping[str, Any] | None = None):
        self.system, root = fsspec.core.url_to_fs(uri, **(storage_options or {}))
        self.root = root.rstrip("/")

    def at(self, path: str) -> str:
        """Return the full path of a file."""
        return f"{self.root}/{path}"

    def names(self, folder: str = "") -> list[str]:
        """List what lies directly in a folder, in order; nothing where there is none."""
        self.system.invalidate_cache()
        try:
            paths = self.system.ls(self.at(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rsplit("/", 1)[1] for path in paths)

    def find(self, pattern: str) -> dict[str, Found]:
        """List all files below a folder; below `lance/*/_refs`, those of every table."""
        head, each, tail = pattern.partition("/*/")
        folders = [f"{head}/{name}/{tail}" for name in self.names(head)] if each else [pattern]
        self.system.invalidate_cache()
        files: dict[str, Found] = {}
        for folder in folders:
            for path, info in self.system.find(self.at(folder), detail=True).items():
                marks = "|".join(str(info[name]) for name in _STAMPS if info.get(name))
                files[path.removeprefix(f"{self.root}/")] = Found(info["size"], marks)
        return files

    def read(self, path: str) -> Iterator[bytes]:
        """Read a file in chunks."""
        with self.system.open(self.at(path), "rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def write(self, chunks: Iterable[bytes], place: str | Callable[[], str]) -> None:
        """Write a file, which appears at its place, known by then, once it is whole."""
        partial = self.at(f"partial/{uuid.uuid4().hex}")
        self.system.makedirs(self.at("partial"), exist_ok=True)
        try:
            with self.system.open(partial, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            target = self.at(place if isinstance(place, str) else place())
            self.system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            self.system.mv(partial, target)
        except BaseException:
            if self.system.exists(partial):
                self.system.rm_file(partial)
            raise

    def remove(self, path: str) -> None:
        """Remove a file."""
        self.system.rm_file(self.at(path))


class Pool:
    """Contents by digest, under `files/` of a snapshot root; the same bytes are kept once."""

    def __init__(self, tree: Tree, workers: int):
        self.tree = tree
        self._workers = workers

    @cached_property
    def sizes(self) -> dict[str, int]:
        """What is kept: bytes by digest."""
        return {path.rsplit("/", 1)[1]: file.size for path, file in self.tree.find("files").items()}

    def keep(
        self,
        source: Tree,
        found: Mapping[str, Found],
        before: Mapping[str, Kept],
        progress: Progress | None = None,
        *,
        may_vanish: bool = False,
    ) -> dict[str, Kept]:
        """Put files into the pool, reading only those that `before` does not tell to be the same.

        Raises FileNotFoundError for a file that is gone, unless it may vanish.
        """

        def keep(path: str) -> Kept | None:
            old, (size, stamp) = before.get(path), found[path]
            known = old is not None and self.sizes.get(old.digest) == size
            if known and old and (old.size, old.stamp) == (size, stamp):
                return old
            try:
                return self._copy(source, path, stamp)
            except FileNotFoundError:
                if may_vanish:
                    return None
                raise

        kept = dict(zip(found, self._each(keep, found, progress), strict=True))
        return {path: file for path, file in kept.items() if file is not None}

    def bring(self, files: Mapping[str, Kept], target: Tree, progress: Progress | None) -> None:
        """Write files of the pool to where they were, checking each; raises SnapshotDamaged."""

        def bring(path: str) -> None:
            target.write(self._checked(path, files[path].digest), path)

        list(self._each(bring, files, progress))
        if files:
            target.system.rm(target.at("partial"), recursive=True)

    def sweep(self, needed: set[str]) -> int:
        """Remove contents that nothing needs, and what broken copies left; returns their bytes."""
        unneeded = self.sizes.keys() - needed
        doomed = {_place(digest): None for digest in unneeded} | self.tree.find("partial")
        list(self._each(self.tree.remove, doomed, None))
        return sum(self.sizes.pop(digest) for digest in unneeded)

    def _each(
        self, work: Callable[[str], Any], paths: Mapping[str, Any], progress: Progress | None
    ) -> Iterator[Any]:
        with ThreadPoolExecutor(self._workers) as threads:
            for done, result in enumerate(threads.map(work, paths), start=1):
                yield result
                if progress:
                    progress(done, len(paths))

    def _copy(self, source: Tree, path: str, stamp: str) -> Kept:
        state, sizes = hashlib.sha256(), []

        def chunks() -> Iterator[bytes]:
            for chunk in source.read(path):
                state.update(chunk)
                sizes.append(len(chunk))
                yield chunk

        self.tree.write(chunks(), lambda: _place(state.hexdigest()))
        kept = Kept(sum(sizes), state.hexdigest(), stamp)
        self.sizes[kept.digest] = kept.size
        return kept

    def _checked(self, path: str, digest: str) -> Iterator[bytes]:
        state, place = hashlib.sha256(), _place(digest)
        try:
            for chunk in self.tree.read(place):
                state.update(chunk)
                yield chunk
        except FileNotFoundError:
            raise SnapshotDamaged(_broken(self.tree.at(place), path, "missing")) from None
        if state.hexdigest() != digest:
            raise SnapshotDamaged(_broken(self.tree.at(place), path, "damaged"))


def _place(digest: str) -> str:
    return f"files/{digest[:2]}/{digest}"


def _broken(place: str, path: str, how: str) -> str:
    return f"{place}, which holds {path}, is {how}; restore another snapshot, and take a new one"

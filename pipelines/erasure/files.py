"""Every file of a home, as bytes and, where it holds a table, as decoded columns.

Files are read one by one and not through their tables, which would leave out what was deleted but
is still there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

_LANCE = (".lance", ".idx")
_CHUNK = 16 << 20


@dataclass(frozen=True)
class File:
    """One file; `path` is relative to its folder and is what reports may name."""

    folder: "Folder"
    path: str
    size: int

    @property
    def room(self) -> str:
        """The first part of the path: `delta`, `lance`, `blobs` or another."""
        return self.path.split("/", 1)[0]

    @property
    def is_table(self) -> bool:
        """Whether it holds columns that can be decoded."""
        return self.path.endswith((".parquet", *_LANCE))

    def chunks(self, overlap: int) -> Iterator[bytes]:
        """Read its bytes in large chunks, each beginning with the last `overlap` of the former."""
        with self.folder.system.open(self.folder.at(self.path), "rb") as file:
            kept = b""
            while data := file.read(_CHUNK):
                kept = kept[-overlap:] + data if overlap else data
                yield kept

    def names(self) -> list[str]:
        """Return its columns. Raises OSError or ValueError where it is broken."""
        if self.path.endswith(".parquet"):
            with self.folder.system.open(self.folder.at(self.path), "rb") as file:
                return pq.read_schema(file).names
        return self._lance().metadata().schema.names

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Decode columns, or all. Rows that were deleted but not yet removed are among them."""
        if self.path.endswith(".parquet"):
            with self.folder.system.open(self.folder.at(self.path), "rb") as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=columns):
                    fields = [pa.field(each.name, _plain(each.type)) for each in batch.schema]
                    yield batch.cast(pa.schema(fields))
        else:
            yield from self._lance(columns).read_all(batch_size=8192).to_batches()

    def _lance(self, columns: Sequence[str] | None = None) -> Any:
        from lance.file import LanceFileReader

        location = self.folder.system.unstrip_protocol(self.folder.at(self.path))
        options = self.folder.options or None
        return LanceFileReader(location, options, list(columns) if columns else None)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return a type without views, at any depth, so that values lie in buffers one after another.

    Delta tables have them after a deletion.
    """
    if kind == pa.string_view():
        return pa.string()
    if kind == pa.binary_view():
        return pa.binary()
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(child.name, _plain(child.type)) for child in kind])
    return kind


class Folder:
    """The files below a URI."""

    def __init__(self, uri: str, options: dict[str, Any] | None = None):
        self.options = options or {}
        self.system, root = fsspec.core.url_to_fs(uri, **self.options)
        self.root = root.rstrip("/")

    def at(self, path: str) -> str:
        """Return the full path of a file."""
        return f"{self.root}/{path}"

    def files(self, below: str = "") -> list[File]:
        """List the files at any depth, in stable order."""
        self.system.invalidate_cache()
        start = self.at(below) if below else self.root
        found = self.system.find(start, detail=True) if self.system.exists(start) else {}
        return [
            File(self, path.removeprefix(f"{self.root}/"), int(info["size"] or 0))
            for path, info in sorted(found.items())
        ]

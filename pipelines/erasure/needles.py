"""What is looked for after an erasure, and finding many byte strings in one pass.

Needles are collected from the items' own rows before anything is deleted, since afterwards nobody
could tell what to look for.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.erasure.files import File, Folder
from pipelines.recipes import digest
from pipelines.store import Store
from pipelines.tables.facts import equals_any
from pipelines.tables.schemas import ATTRIBUTE_KEYS, TEXT_KEYS

SHORT = 11
"""Shorter values are compared with whole cells only: as a part of something they mean nothing."""

_WORD = 8
_SAMPLE = 64
_SENTENCE = 16
_BITS = 20
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_COLUMNS = {
    "item_id": "id",
    "uri": "uri",
    "content_hash": "hash",
    "text_hash": "hash",
    "derivative": "hash",
    "thumbnail": "hash",
    "text": "text",
    "words": "text",
    **dict.fromkeys(TEXT_KEYS, "text"),
    **dict.fromkeys(ATTRIBUTE_KEYS, "attribute"),
    "file_name": "attribute",
    "tags": "attribute",
    "access": "attribute",
}


@dataclass(frozen=True, order=True)
class Needle:
    """One value of an erased item, by its bytes."""

    kind: str
    value: bytes

    @property
    def everywhere(self) -> bool:
        """Whether it tells the item even outside of tables; attributes and single words do not."""
        least = _SENTENCE if self.kind == "text" else SHORT
        return self.kind != "attribute" and len(self.value) >= least

    @property
    def tells_alone(self) -> bool:
        """Whether it tells the item even among words of people, who may ask for any title."""
        return self.everywhere or self.kind == "id"

    def variants(self) -> set[bytes]:
        """Return it as it stands in tables and as JSON writes it, with and without ASCII only."""
        if self.kind in ("vector", "picture"):
            return {self.value}
        text = self.value.decode()
        escaped = (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
        return {self.value, *(each.encode() for each in escaped)}


class Finder:
    """Finds any of many byte strings in one pass over data.

    Data is read as words of 8 bytes. A string of 15 bytes or more holds a whole word wherever it
    begins, so every eighth place is enough; for shorter ones every fourth is looked at.
    """

    def __init__(self, needles: Sequence[Needle]):
        self.needles = needles
        self.longest = 0
        self._short: dict[str, int] = {}
        anchors: dict[int, dict[int, list[tuple[bytes, int, int]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for number, needle in enumerate(needles):
            for value in needle.variants():
                self.longest = max(self.longest, len(value))
                if len(value) < SHORT:
                    self._short[value.decode()] = number
                    continue
                stride = _WORD if len(value) >= 2 * _WORD - 1 else _WORD // 2
                # The end of a value tells more than its beginning, such as `file:///`.
                for start in range(len(value) - _WORD - stride + 1, len(value) - _WORD + 1):
                    word = int.from_bytes(value[start : start + _WORD], "little")
                    anchors[stride][word].append((value, number, start))
        self._passes = [(stride, _mask(words), words) for stride, words in anchors.items()]

    def in_bytes(self, data: bytes | pa.Buffer) -> set[int]:
        """Return the numbers of the needles that stand anywhere in data."""
        # Arrow counts bytes as signed, and then those above 127 equal no others.
        view = memoryview(data).cast("B")
        found: set[int] = set()
        for stride, mask, anchors in self._passes:
            for shift in range(0, min(_WORD, len(view) - _WORD + 1), stride):
                words = np.frombuffer(view, "<u8", (len(view) - shift) // _WORD, shift)
                maybe = np.flatnonzero(mask[_slots(words)])
                for place, word in zip(maybe.tolist(), words[maybe].tolist(), strict=True):
                    for value, number, start in anchors.get(word, ()):
                        begin = shift + _WORD * place - start
                        if begin >= 0 and view[begin : begin + len(value)] == value:
                            found.add(number)
        return found

    def in_columns(self, columns: Iterable[pa.Array]) -> set[int]:
        """Return the numbers of the needles that stand in decoded columns."""
        found: set[int] = set()
        for column in columns:
            for buffer in column.buffers():
                if buffer is not None and buffer.size >= SHORT:
                    found |= self.in_bytes(buffer)
            if self._short:
                for cells in _strings(column):
                    known = pc.is_in(cells, value_set=pa.array(list(self._short), cells.type))
                    found |= {self._short[cell] for cell in set(cells.filter(known).to_pylist())}
        return found


def _slots(words: np.ndarray) -> np.ndarray:
    return (words * _MULTIPLIER) >> np.uint64(64 - _BITS)


def _mask(words: Iterable[int]) -> np.ndarray:
    """Return which slots hold any of the words; it rules out nearly all others."""
    mask = np.zeros(1 << _BITS, dtype=bool)
    mask[_slots(np.array(list(words), dtype="<u8"))] = True
    return mask


def _strings(column: pa.Array) -> Iterator[pa.Array]:
    """Yield the arrays of strings within a column, at any depth."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield column
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _strings(column.flatten())
    elif pa.types.is_struct(kind):
        for child in column.flatten():
            yield from _strings(child)


def collect(store: Store, item_ids: Collection[str]) -> set[Needle]:
    """Read what is to be looked for from every file of the tables, old ones too, and from blobs."""
    wanted = pa.array(sorted(item_ids))
    needles = {Needle("id", item_id.encode()) for item_id in item_ids}
    folder = Folder(store.root, store.storage_options)
    for file in (*folder.files("delta"), *folder.files("lance")):
        if not file.is_table or "item_id" not in columns_of(file):
            continue
        ids = (batch.column(0) for batch in file.batches(["item_id"]))
        if any(pc.any(pc.is_in(column, value_set=wanted)).as_py() for column in ids):
            for batch in file.batches():
                mine = pc.is_in(batch["item_id"], value_set=wanted)
                needles |= set(_of_rows(batch.filter(mine)))
    return needles | set(_of_blobs(store, item_ids))


def shared(store: Store, item_ids: Collection[str], finder: Finder) -> set[int]:
    """Return the numbers of the needles that other items' rows hold too, in any file of tables."""
    mine = pa.array(sorted(item_ids))
    found: set[int] = set()
    folder = Folder(store.root, store.storage_options)
    for file in (*folder.files("delta"), *folder.files("lance")):
        if file.is_table and "item_id" in columns_of(file):
            for batch in file.batches():
                found |= finder.in_columns(of_others(batch, mine).columns)
    return found


def of_others(batch: pa.RecordBatch, mine: pa.Array) -> pa.RecordBatch:
    """Return the rows of items that are not among `mine`; rows may be of no item at all."""
    ids = batch["item_id"]
    return batch.filter(pc.and_(pc.is_valid(ids), pc.invert(pc.is_in(ids, value_set=mine))))


def columns_of(file: File) -> list[str]:
    """Return the columns of a file, none where it is broken."""
    try:
        return file.names()
    except (OSError, ValueError):
        # A killed writer left it half written. Nothing refers to it, and it will be removed.
        return []


def _of_rows(rows: pa.RecordBatch) -> Iterator[Needle]:
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        if name == "vector":
            for vector in column.drop_null():
                values = vector.values.to_numpy()
                if values.any():
                    yield Needle("vector", values.tobytes())
        elif name == "extra":
            for value in column.drop_null().to_pylist():
                yield from _of_extra(value)
        elif name == "origins":
            for origin in column.flatten().to_pylist():
                for key in ("uri", "file_name"):
                    yield from _text(_COLUMNS[key], origin[key])
        elif name in _COLUMNS:
            cells = column.flatten() if name in ("tags", "access") else column
            for value in cells.drop_null().unique().to_pylist():
                yield from _text(_COLUMNS[name], value)


def _of_extra(value: Any) -> Iterator[Needle]:
    try:
        members = json.loads(value)
    except (ValueError, TypeError):
        # In LanceDB it is binary; the same values stand in the table of items.
        return
    for member in members.values() if isinstance(members, dict) else ():
        if isinstance(member, str):
            yield from _text("attribute", member)


def _text(kind: str, value: str | None) -> Iterator[Needle]:
    if value:
        yield Needle(kind, value.encode())


def _sample(data: bytes) -> Iterator[Needle]:
    """Yield a stretch from the middle of data, unless it is monotonous and tells nothing."""
    start = max(0, (len(data) - _SAMPLE) // 2)
    sample = data[start : start + _SAMPLE]
    if len(set(sample)) > _WORD:
        yield Needle("picture", sample)


def _of_blobs(store: Store, item_ids: Collection[str]) -> Iterator[Needle]:
    rows = store.segments.rows(["derivative", "thumbnail"], equals_any("item_id", item_ids))
    for name in {name for row in rows for name in row.values() if name}:
        try:
            yield from _sample(store.blobs.get(name))
        except FileNotFoundError:
            continue


def summary(needles: Iterable[Needle]) -> str:
    """Return one digest of all needles, which tells what was looked for without showing it."""
    return digest(*(part for each in sorted(needles) for part in (each.kind, each.value)))

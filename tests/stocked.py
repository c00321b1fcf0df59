"""A home whose tables tell something of every item, and a search of it that trusts nobody.

Values carry the item's number, so that a test knows what to look for: `marks(number)`.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from lance.file import LanceFileReader
from toy import CHOICES, MODEL, vector

from pipelines import outcomes
from pipelines.recipes import digest
from pipelines.releases.publish import publish
from pipelines.settings import Settings
from pipelines.store import Store

BATCH = 20


def item_id(number: int) -> str:
    return digest("item", str(number))[:16]


def uri(number: int) -> str:
    return f"file:///archive/holiday/{number:05d}-lisbon.jpg"


def text(number: int) -> str:
    return f'Receipt no. {number:05d}, "paid" at café Zürich; reader quokka{letters(number)}'


def letters(number: int) -> str:
    """A word that only one item has, without digits: a token of its own."""
    return "".join(chr(97 + int(digit)) for digit in f"{number:05d}")


def batch(number: int) -> str:
    return f"2026-11-20.{number // BATCH:03d}"


def blob(number: int) -> bytes:
    return b"\xff\xd8" + np.random.default_rng(number + 10**6).bytes(900)


def marks(number: int) -> dict[str, bytes]:
    """What tells of one item, by what it is."""
    return {
        "id": item_id(number).encode(),
        "uri": uri(number).encode(),
        "text": text(number).encode(),
        "title": f"Title {number:05d} of somebody".encode(),
        "word": f"quokka{letters(number)}".encode(),
        "tag": f"tagged{number:05d}".encode(),
        "region": f"region-{number:05d}".encode(),
        "extra": f"sleeve {number:05d} unknown".encode(),
        "content": digest("content", str(number)).encode(),
        "text hash": digest(text(number)).encode(),
        "vector": vector(number).tobytes(),
        "blob name": digest(blob(number)).encode(),
        "picture": blob(number)[400:500],
    }


def stock(store: Store, numbers: Iterable[int]) -> None:
    """Add items to every table, batch by batch."""
    by_batch: dict[str, list[int]] = {}
    for number in numbers:
        by_batch.setdefault(batch(number), []).append(number)
    for some in by_batch.values():
        _stock(store, some)


def _stock(store: Store, numbers: list[int]) -> None:
    store.items.append([_item(number) for number in numbers])
    names = {number: store.blobs.put(blob(number), ".jpg") for number in numbers}
    common = [
        {
            "key": f"{item_id(number)}#image",
            "item_id": item_id(number),
            "batch": batch(number),
            "segment": "image",
            "recipe": f"1-{digest(text(number))}",
        }
        for number in numbers
    ]
    pairs = list(zip(numbers, common, strict=True))
    store.segments.append(
        [row | {"derivative": names[n], "thumbnail": names[n]} for n, row in pairs]
    )
    store.texts.append(
        [row | {"source": "ocr", "text": text(n), "text_hash": digest(text(n))} for n, row in pairs]
        + [row | {"key": f"{row['key']}#c", "source": "caption", "text": "a cup"} for row in common]
    )
    store.findings.append([{"item_id": item_id(n), "entity": "PERSON"} for n in numbers])
    refused = [
        outcomes.outcome(
            digest(uri(n)), "ingest", "failed", "", uri=uri(n), reason=f"taken by {uri(n)}"
        )
        for n in numbers
    ]
    store.outcomes.append(refused)
    attributes = {
        n: {
            "uri": uri(n),
            "title": f"Title {n:05d} of somebody",
            "region": f"region-{n:05d}",
            "tags": [f"tagged{n:05d}", "rain"],
            "extra": json.dumps({"sleeve": f"sleeve {n:05d} unknown"}),
            "attributes_hash": "a",
            "kind": "image",
        }
        for n in numbers
    }
    store.channel("visual", MODEL).upsert(
        [
            row | attributes[n] | {"identity": MODEL.as_json(), "vector": vector(n)}
            for n, row in pairs
        ]
    )
    store.passages.upsert(
        [row | attributes[n] | {"source": "ocr", "text": text(n)} for n, row in pairs]
    )


def _item(number: int) -> dict[str, Any]:
    return {
        "item_id": item_id(number),
        "batch": batch(number),
        "kind": "image",
        "content_hash": digest("content", str(number)),
        "origins": [
            {"uri": uri(number), "source": "file:///archive", "file_name": f"{number:05d}.jpg"}
        ],
        "title": f"Title {number:05d} of somebody",
        "region": f"region-{number:05d}",
        "owner": "Ada" if number % 10 == 3 else "others",
        "tags": [f"tagged{number:05d}", "rain"],
        "extra": json.dumps({"sleeve": f"sleeve {number:05d} unknown"}),
        "deleted": False,
        "registered_at": outcomes.now(),
        "updated_at": outcomes.now(),
    }


def unstock(store: Store, number: int) -> None:
    """Remove an item's rows like the steps do once its file is gone."""
    row = store.items.rows(where=f"item_id = '{item_id(number)}'")[0]
    store.items.replace(f"item_id = '{item_id(number)}'", [row | {"deleted": True, "origins": []}])
    for table in (store.channel("visual", MODEL), store.passages):
        table.remove([f"{item_id(number)}#image"])


def release(store: Store, settings: Settings) -> str:
    """Publish without gates that need more than tables."""
    (settings.home / "policy.toml").write_text('gates = ["identities"]\n')
    made = publish(store, CHOICES, settings)
    assert made.event == "promoted" and made.new
    return made.manifest.release


def traces(home: Path, number: int) -> dict[str, set[str]]:
    """Files below a home that hold a mark of an item, by what they hold."""
    found: dict[str, set[str]] = {}
    for path in sorted(home.rglob("*")):
        if path.is_file():
            for content in (path.read_bytes(), *decoded(path)):
                for what, value in marks(number).items():
                    if value in content:
                        found.setdefault(str(path.relative_to(home)), set()).add(what)
    return found


def decoded(path: Path) -> Iterator[bytes]:
    if path.suffix == ".parquet":
        columns = pq.read_table(path).columns
    elif path.suffix in (".lance", ".idx"):
        columns = LanceFileReader(str(path)).read_all().to_table().columns
    else:
        return
    for column in columns:
        if column.type == "large_binary" and path.name.endswith("tokens.lance"):
            yield b"\n".join(word for fst in column.to_pylist() for word in words_of(fst))
        for chunk in column.chunks:
            yield from (buffer.to_pybytes() for buffer in chunk.buffers() if buffer is not None)


# The commonest bytes, in the order by which the automata of the crate `fst` number them.
_COMMON = b"te/oasripcnw.hlm-du012g=:bf3y5&_4v9678k%?xCDASFIBEjPTzRNM+LOqHGWUV,YKJZXQ"


def words_of(fst: bytes) -> list[bytes]:
    """List the words of a finite-state automaton, as the full-text index keeps them."""
    # Eight bytes of version and of type before, of length and of root behind, and a checksum.
    version = int.from_bytes(fst[:8], "little")
    end = len(fst) - (4 if version >= 3 else 0)
    root = int.from_bytes(fst[end - 8 : end], "little")
    words: list[bytes] = []
    waiting = [(root, b"")]
    while waiting:
        place, word = waiting.pop()
        final, steps = _node(fst, place)
        if final:
            words.append(word)
        waiting += [(target, word + bytes([byte])) for byte, target in steps]
    return sorted(words)


def _node(fst: bytes, place: int) -> tuple[bool, list[tuple[int, int]]]:
    """Return whether a node ends a word, and its bytes with the nodes that they lead to."""
    if place == 0:
        return True, []
    state = fst[place]
    kind = state >> 6

    def number(end: int, size: int) -> int:
        return int.from_bytes(fst[end - size : end], "little")

    if kind >= 2:
        common = state & 0x3F
        at = place if common else place - 1
        byte = _COMMON[common - 1] if common else fst[place - 1]
        if kind == 3:
            return False, [(byte, at - 1)]
        sizes = fst[at - 1]
        delta = number(at - 1, sizes >> 4)
        start = at - 1 - (sizes >> 4) - (sizes & 15)
        return False, [(byte, start - delta if delta else 0)]
    count = state & 0x3F
    at = place if count else place - 1
    count = count or {1: 256}.get(fst[place - 1], fst[place - 1])
    sizes = fst[at - 1]
    steps, outputs = sizes >> 4, sizes & 15
    index = 256 if count > 32 and int.from_bytes(fst[:8], "little") >= 2 else 0
    top = at - 1 - index
    inputs = [fst[top - 1 - n] for n in range(count)]
    addresses = top - count
    deltas = [number(addresses - n * steps, steps) for n in range(count)]
    start = addresses - count * steps - count * outputs - (outputs if kind & 1 else 0)
    return bool(kind & 1), [
        (byte, start - delta if delta else 0) for byte, delta in zip(inputs, deltas, strict=True)
    ]


def instance_files(home: Path, number: int) -> None:
    """Put what Dagster keeps beside the tables: a database and a captured log, without secrets."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(folder / "runs.db") as database:
        database.execute("CREATE TABLE IF NOT EXISTS runs (body TEXT)")
        database.execute("INSERT INTO runs VALUES (?)", [f"batch {batch(number)}"])
    (folder / "compute.err").write_text("index: 3 of 3\n")

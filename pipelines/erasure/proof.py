"""The proof of an erasure: every file is searched for all that could tell of the items.

It is made of counts and digests. What was looked for stands nowhere in it.
"""

import datetime as dt
import json
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from pipelines.catalog.uploads import folder_of
from pipelines.erasure import versions
from pipelines.erasure.facts import QUERIES, unnamed
from pipelines.erasure.files import File, Folder
from pipelines.erasure.needles import Finder, Needle, of_others, summary
from pipelines.errors import MediadexError
from pipelines.ledger import mark
from pipelines.outcomes import now
from pipelines.settings import Settings
from pipelines.store import Store

FOLDER = "proofs"
_TABLES = ("delta", "lance")


class Sought(BaseModel):
    """Values of one kind: how many, how many of them other items have too and prove nothing."""

    values: int
    shared: int
    digest: str


class Searched(BaseModel):
    """Files and bytes that were read in one place, and how many tables were decoded."""

    files: int = 0
    bytes: int = 0
    decoded: int = 0


class Proof(BaseModel):
    """That nothing is left of some items, named by digests, and how that was seen."""

    at: dt.datetime
    uri: str = ""
    items: list[str]
    sought: dict[str, Sought]
    searched: dict[str, Searched]
    versions: dict[str, list[int]]
    index_entries: int
    removed: dict[str, int]
    found: int = 0
    search_seconds: float
    seconds: float = 0.0
    not_searched: list[str]


def search(
    store: Store,
    settings: Settings,
    item_ids: Collection[str],
    needles: Sequence[Needle],
    left_out: Collection[str],
    sources: Collection[str],
    removed: dict[str, int],
) -> Proof:
    """Search everything below the root and the home, but for some paths and the sources of media.

    Raises MediadexError, naming places but no value, where anything is found.
    """
    started = time.monotonic()
    finder = Finder(needles)
    searched: dict[str, Searched] = defaultdict(Searched)
    places: dict[str, set[int]] = {}
    elsewhere: set[int] = set()
    rows: list[str] = []
    mine = pa.array(sorted(item_ids))
    originals = (*sources, str(folder_of(settings)), *_snapshots(settings))
    excluded = [locate for url in originals if (locate := _local(url))]
    for place, file in _everything(store, settings):
        if file.path in left_out or _below(file, excluded):
            continue
        count = searched[place]
        count.files, count.bytes = count.files + 1, count.bytes + file.size
        found = set().union(*(finder.in_bytes(part) for part in file.chunks(finder.longest)))
        if file.room in _TABLES and file.is_table:
            count.decoded += 1
            owned = "item_id" in _readable(file)
            for batch in file.batches():
                if not owned:
                    found |= finder.in_columns(batch.columns)
                    continue
                if pc.any(pc.is_in(batch["item_id"], value_set=mine)).as_py():
                    rows.append(file.path)
                nobodys = pc.is_null(batch["item_id"])
                found |= finder.in_columns(batch.filter(nobodys).columns)
                elsewhere |= finder.in_columns(of_others(batch, mine).columns)
        if file.room == "blobs":
            # Blobs that are left belong to other items.
            elsewhere |= {n for n in found if needles[n].kind == "picture"}
        if file.room not in _TABLES:
            found = {number for number in found if needles[number].everywhere}
        elif file.path.startswith(f"{QUERIES}/"):
            found = {number for number in found if needles[number].tells_alone}
        places[file.path] = found
    traces = {path: found - elsewhere for path, found in places.items() if found - elsewhere}
    entries, dead = _entries(store)
    _judge(rows, traces, dead, len(unnamed(store)), needles)
    return Proof(
        at=now(),
        items=sorted(mark(item_id) for item_id in item_ids),
        sought=_sought(needles, elsewhere),
        searched=dict(sorted(searched.items())),
        versions={name: versions.left(store, name) for name in versions.table_names(store)},
        index_entries=entries,
        removed=removed,
        search_seconds=round(time.monotonic() - started, 3),
        not_searched=[
            "the media in their sources, which are not ours to delete",
            *(["snapshots, which are kept for keep_snapshot_days"] if settings.snapshots else []),
        ],
    )


def write(store: Store, proof: Proof) -> Proof:
    """Store a proof under `proofs/` of the root and return it with its place."""
    name = f"{proof.at:%Y%m%dT%H%M%S}-{proof.items[0][:8] if proof.items else 'none'}.json"
    uri = f"{store.root}/{FOLDER}/{name}"
    files, path = fsspec.core.url_to_fs(uri, **store.storage_options)
    files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    proof = proof.model_copy(update={"uri": uri})
    files.pipe_file(path, json.dumps(proof.model_dump(mode="json"), indent=1).encode())
    return proof


def _everything(store: Store, settings: Settings) -> Iterator[tuple[str, File]]:
    """Yield every file with the name of where it is: a table, or the first folder of its path."""
    root = Folder(store.root, store.storage_options)
    home = Folder(str(settings.home.resolve()))
    folders = [root] if "://" not in store.root and home.root == root.root else [root, home]
    for folder in folders:
        for file in folder.files():
            parts = file.path.split("/")
            yield "/".join(parts[: 2 if file.room in _TABLES else 1]), file


def _readable(file: File) -> list[str]:
    try:
        return file.names()
    except (OSError, ValueError):
        raise MediadexError(
            f"{file.path} cannot be decoded, so that nobody can tell what it holds; nothing should "
            "refer to it: remove it, and run `mediadex erase` again"
        ) from None


def _snapshots(settings: Settings) -> list[str]:
    return [settings.snapshots] if settings.snapshots else []


def _local(url: str) -> str | None:
    """Return the path of a local URL, `None` for others."""
    files, path = fsspec.core.url_to_fs(url)
    return path.rstrip("/") if "file" in files.protocol else None


def _below(file: File, excluded: Sequence[str]) -> bool:
    path = file.folder.at(file.path)
    return any(path == each or path.startswith(f"{each}/") for each in excluded)


def _entries(store: Store) -> tuple[int, int]:
    counted = [
        versions.index_entries(store, name, version)
        for name in versions.table_names(store)
        for version in versions.left(store, name)
    ]
    return sum(entries for entries, _ in counted), sum(dead for _, dead in counted)


def _judge(
    rows: Sequence[str],
    traces: dict[str, set[int]],
    dead: int,
    nobodys: int,
    needles: Sequence[Needle],
) -> None:
    """Raise where anything was found."""
    told = [f"rows in {path}" for path in sorted(set(rows))]
    for path, numbers in sorted(traces.items()):
        kinds = Counter(needles[number].kind for number in numbers)
        told.append(f"{', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))} in {path}")
    if dead:
        told.append(f"{dead} index entries of rows that are gone")
    if nobodys:
        told.append(f"{nobodys} queries with vectors of items that they do not name in {QUERIES}")
    if told:
        raise MediadexError(
            f"an erasure is not complete and stays pending; found {'; '.join(told[:20])}. Nothing "
            "of it is shown in answers. If a file is not made by mediadex, move it out of the "
            "home; then run `mediadex erase` again"
        )


def _sought(needles: Sequence[Needle], elsewhere: set[int]) -> dict[str, Sought]:
    kinds: dict[str, list[int]] = defaultdict(list)
    for number, needle in enumerate(needles):
        kinds[needle.kind].append(number)
    return {
        kind: Sought(
            values=len(numbers),
            shared=len(elsewhere.intersection(numbers)),
            digest=summary(needles[number] for number in numbers),
        )
        for kind, numbers in sorted(kinds.items())
    }


def as_rows(proof: Proof) -> list[dict[str, Any]]:
    """Return where a proof looked, one row a place, for people to read."""
    return [{"place": place, **count.model_dump()} for place, count in proof.searched.items()]

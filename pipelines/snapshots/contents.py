"""What a home's tables hold at the versions that matter: the newest, and those of kept releases."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from pydantic import BaseModel

from pipelines.snapshots.checksums import checksum
from pipelines.snapshots.files import Kept, Tree
from pipelines.store import Store

_BATCH_ROWS = 8192


class State(BaseModel):
    """A version of a table; `releases` are those that read it, `kind` is `delta` or `lance`."""

    kind: str
    table: str
    version: int
    releases: list[str] = []

    @property
    def name(self) -> str:
        """The table and its version, for people."""
        return f"{self.table} at version {self.version}"


class Held(State):
    """What a version of a table holds. `commit` is the digest of the file that committed it."""

    rows: int
    checksum: str
    commit: str


def delta_tables(store: Store) -> list[str]:
    """Return the names of the Delta tables that are there, of whatever schema."""
    tree = Tree(store.root, store.storage_options)
    return [name for name in tree.names("delta") if tree.names(f"delta/{name}/_delta_log")]


def lance_table(store: Store, name: str, version: int | None = None) -> Any:
    """Open a LanceDB table, at its newest version or at an older one."""
    table = store.database.open_table(name)
    if version is not None:
        table.checkout(version)
    return table


def states(store: Store) -> list[State]:
    """Return the newest version of every table, and the versions of LanceDB that releases name."""
    found = [
        State(kind="delta", table=name, version=_delta(store, name).version())
        for name in delta_tables(store)
    ]
    for name in Tree(store.root, store.storage_options).names("lance"):
        table = lance_table(store, name.removesuffix(".lance"))
        versions: dict[int, list[str]] = {table.version: []}
        for release, tag in sorted(table.tags.list().items()):
            versions.setdefault(tag["version"], []).append(release)
        found += [
            State(kind="lance", table=table.name, version=version, releases=releases)
            for version, releases in sorted(versions.items())
        ]
    return found


def held(store: Store, state: State, files: Mapping[str, Kept], before: Mapping[str, Held]) -> Held:
    """Count and sum up a version of a table, unless the same commit was summed up before."""
    commit = next((files[path].digest for path in _commits(state) if path in files), "")
    if commit and commit in before:
        return before[commit].model_copy(update={"releases": state.releases})
    rows, total = checksum(batches(store, state))
    return Held(**state.model_dump(), rows=rows, checksum=total, commit=commit)


def batches(store: Store, state: State) -> Iterator[pa.RecordBatch]:
    """Read all rows of a version of a table."""
    if state.kind == "lance":
        yield from lance_table(store, state.table, state.version).search().to_batches(_BATCH_ROWS)
        return
    query = QueryBuilder().register("facts", _delta(store, state.table, state.version))
    for batch in query.execute("SELECT * FROM facts"):
        yield pa.record_batch(batch)


def count(store: Store) -> dict[str, int]:
    """Count the rows of every table's newest version."""
    newest = {state.table: state for state in states(store)}
    rows = {}
    for name, state in newest.items():
        if state.kind == "lance":
            rows[name] = lance_table(store, name).count_rows()
        else:
            query = QueryBuilder().register("facts", _delta(store, name))
            found = query.execute("SELECT count(*) AS rows FROM facts").read_all()
            rows[name] = pa.table(found)["rows"][0].as_py()
    return rows


def _delta(store: Store, name: str, version: int | None = None) -> DeltaTable:
    return DeltaTable(f"{store.root}/delta/{name}", version, store.storage_options)


def _commits(state: State) -> list[str]:
    if state.kind == "delta":
        return [f"delta/{state.table}/_delta_log/{state.version:020d}.json"]
    # Lance counts manifests backwards, so that the newest is listed first.
    folder = f"lance/{state.table}.lance/_versions"
    return [f"{folder}/{number}.manifest" for number in (2**64 - 1 - state.version, state.version)]

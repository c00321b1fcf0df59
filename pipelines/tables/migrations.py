"""Changes of the tables' columns, numbered, each with its way back, and which of them a home has.

A change of `schemas.py` needs an entry in `MIGRATIONS`. Releases stay pinned to versions of
LanceDB tables with the columns of their time: old ones answer as before, but LanceDB refuses a
filter on a column that their version lacks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.errors import MediadexError
from pipelines.outcomes import now
from pipelines.recipes import digest_json
from pipelines.store import Store
from pipelines.tables import changes
from pipelines.tables.columns import stored
from pipelines.tables.schemas import FACTS, passage_schema, vector_schema

_CLOSED = "closed"


class WrongSchema(MediadexError):
    """A home whose tables have other columns than this version of the code reads and writes."""


@dataclass(frozen=True)
class Migration:
    """One change: `up` makes it, `down` undoes it, `schema` is the digest of the columns after."""

    number: int
    name: str
    up: Callable[[Store], None]
    down: Callable[[Store], None]
    schema: str


def schema_digest() -> str:
    """Return the digest of all declared columns: names, types, nullability, in their order."""
    schemas = FACTS | {"vectors": vector_schema(1), "passages": passage_schema()}
    return digest_json(
        {
            name: [(field.name, str(field.type), field.nullable) for field in schema]
            for name, schema in schemas.items()
        }
    )


MIGRATIONS = (
    Migration(
        1,
        "retries, hashes of attributes, a log of releases",
        changes.truth_up,
        changes.truth_down,
        schema="11e35e01d318bf51a895c1fa33f30720",
    ),
    Migration(
        2,
        "length, modalities and subtitles of sound and video",
        changes.media_up,
        changes.media_down,
        schema="31adf6bad29cd5168ccdf46fbecb3d5a",
    ),
    Migration(
        3,
        "groups that may see an item, and a journal of queries",
        changes.access_up,
        changes.access_down,
        schema="e7d7bf90d1f492990deaf77ac58de442",
    ),
)
CURRENT = MIGRATIONS[-1].number


def state(store: Store) -> int:
    """Return the number of the last migration that a home has; a new home has all of them.

    A home without a log of migrations is of number 0, unless its columns are those declared now.
    """
    log = store.migrations.rows(["number", "direction"])
    if not log:
        return 0 if _facts_diff(store) else CURRENT
    start = next(row["number"] for row in log if row["direction"] == "start")
    steps = {"start": 0, "up": 1, "down": -1}
    return start + sum(steps[row["direction"]] for row in log)


def pending(store: Store) -> list[Migration]:
    """Return the migrations that a home lacks, in order."""
    return [migration for migration in MIGRATIONS if migration.number > state(store)]


def diff(store: Store) -> list[str]:
    """Tell column by column how the tables of a home differ from those declared."""
    lines = _facts_diff(store)
    for name, present in _searched(store).items():
        width = present.field("vector").type.list_size if "vector" in present.names else 0
        lines += _compared(name, present, vector_schema(width) if width else passage_schema())
    return lines


def migrate(
    store: Store, to: int | None = None, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Bring a home to a number, the newest by default; returns the names of what was done.

    Waits until nobody writes and keeps everyone out. Killed, it goes on where it was. Raises
    WrongSchema for a number that does not exist and for a home of newer code.
    """
    goal = CURRENT if to is None else to
    with store.lock.exclusive():
        at = known(state(store))
        if not 0 <= goal <= CURRENT:
            raise WrongSchema(f"there is no migration {goal}; there are 0 to {CURRENT}")
        _start(store, at)
        if goal > at:
            steps = [(migration, "up", migration.up) for migration in MIGRATIONS[at:goal]]
        else:
            steps = [(each, "down", each.down) for each in reversed(MIGRATIONS[goal:at])]
        for done, (migration, direction, work) in enumerate(steps, start=1):
            work(store)
            _log(store, migration.number, migration.name, direction)
            if progress:
                progress(done, len(steps))
    return [f"{direction} {each.number}: {each.name}" for each, direction, _ in steps]


def ensure_current(store: Store) -> None:
    """Raise, with the way out, for a home whose columns are not those declared now.

    That is a WrongSchema; a MediadexError tells that the home is closed.
    """
    if closed := store.notes.read(_CLOSED):
        raise MediadexError(f"{store.root}: {closed['reason']}; empty it and start again")
    at = known(state(store))
    if at < CURRENT:
        raise WrongSchema(
            f"this home has the columns of migration {at}, and the code those of {CURRENT}; "
            "run `mediadex migrate` (it says what it would do with --dry-run)"
        )
    if store.items.version is not None and not store.migrations.rows(["number"]):
        _start(store, at)


def known(number: int) -> int:
    """Return the number of a home, or raise WrongSchema where it is one of newer code."""
    if number > CURRENT:
        raise WrongSchema(
            f"this home has the columns of migration {number}, and the code knows {CURRENT}; "
            f"update mediadex, or run `mediadex migrate --to {CURRENT}` of the newer one"
        )
    return number


def close(store: Store, reason: str) -> None:
    """Let nobody use a home until it is opened again: what was erased may not be, yet."""
    store.notes.write(_CLOSED, {"reason": reason})


def reopen(store: Store) -> None:
    """Let a home be used again."""
    store.notes.write(_CLOSED, {})


def _start(store: Store, number: int) -> None:
    """Remember from which number the log of migrations counts."""
    store.migrations.append_after(
        lambda log: [] if log else [_row(number, "the home as it was", "start")]
    )


def _log(store: Store, number: int, name: str, direction: str) -> None:
    store.migrations.append([_row(number, name, direction)])


def _row(number: int, name: str, direction: str) -> dict[str, Any]:
    return {"number": number, "name": name, "direction": direction, "at": now()}


def _facts_diff(store: Store) -> list[str]:
    present = {name: stored(table) for name, table in store.facts.items()}
    return [
        line
        for name, columns in present.items()
        if columns is not None
        for line in _compared(name, columns, FACTS[name])
    ]


def _searched(store: Store) -> dict[str, pa.Schema]:
    """Return the columns of every LanceDB table as they are now."""
    return {name: store.database.open_table(name).schema for name in store.search_tables()}


def _compared(table: str, present: pa.Schema, declared: pa.Schema) -> list[str]:
    old = {field.name: _type(field) for field in present}
    new = {field.name: _type(field) for field in declared}
    lines = [f"{table}: + {name} {new[name]}" for name in new if name not in old]
    lines += [f"{table}: - {name} {old[name]}" for name in old if name not in new]
    return lines + [
        f"{table}: {name} {old[name]} -> {new[name]}"
        for name in new
        if name in old and old[name] != new[name]
    ]


def _type(field: pa.Field) -> str:
    """Write a type, whatever the stores call the parts of lists and how they keep JSON."""
    if (field.metadata or {}).get(b"ARROW:extension:name", b"").endswith(b".json"):
        return "json"
    if isinstance(field.type, pa.ListType):
        return f"list<{_type(field.type.value_field)}>"
    return "json" if isinstance(field.type, pa.JsonType) else str(field.type)

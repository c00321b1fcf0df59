"""Tidying a home: tables are made small and fast, and what no kept release needs is removed."""

import datetime as dt
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pipelines.outcomes import SUPERSEDED, now
from pipelines.releases import log
from pipelines.search.journal import tables as journal
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import FactTable, quoted
from pipelines.upkeep import facts, search
from pipelines.upkeep.files import File, below, remove, total
from pipelines.upkeep.state import TableState

Progress = Callable[[int, int], None]

_PARTIAL = ".part"
_PARTIAL_AGE = dt.timedelta(days=1)
_YEAR = dt.timedelta(days=365)
# Nobody reads an older version of what people asked, but a reader may have just opened one.
_JOURNAL_DAYS = 1 / 24


@dataclass(frozen=True)
class Tidied:
    """One table as it was before and after."""

    before: TableState
    after: TableState


@dataclass(frozen=True)
class TidyReport:
    """What tidying did. `reclaimed` bytes are negative when merging took more than cleaning gave:

    the old files go once they are `keep_days` old.
    """

    tables: list[Tidied]
    dropped: list[str]
    rows_removed: int
    blobs_removed: int
    reclaimed: int
    seconds: float

    @property
    def unindexed(self) -> tuple[int, int]:
        """Rows that indexes lacked, before and after."""
        states = [(each.before.unindexed, each.after.unindexed) for each in self.tables]
        return sum(before for before, _ in states), sum(after for _, after in states)


def tidy(
    store: Store,
    settings: Settings,
    in_use: Collection[str],
    progress: Progress | None = None,
) -> TidyReport:
    """Tidy every table and the blobs, with all writers kept out.

    `in_use` names the LanceDB tables of the present encoders. Whatever a kept release names stays
    as it is, so a running server notices nothing. Queries and feedback go after the settings' days.
    """
    started = time.monotonic()
    report = progress or (lambda done, total: None)
    with store.lock.exclusive():
        keep, limit = dt.timedelta(days=settings.keep_days), now()
        limit -= keep
        tables = store.facts
        rows = _forget(store, limit, now() - dt.timedelta(days=settings.keep_query_days))
        needed = _needed(store, settings.keep_releases)
        dropped, freed = _drop(store, {*needed, *in_use}, limit)
        names = [name for name in search.tables(store) if not search.is_being_purged(store, name)]
        steps = len(names) + len(tables)
        tidied: list[Tidied] = []
        for name in names:
            before = search.state(store, name, limit)
            if name in needed or name in in_use or not search.is_of_encoder(name):
                search.settle(store, name)
            search.clean(store, name, needed.get(name, {}), keep)
            tidied.append(Tidied(before, search.state(store, name, limit)))
            report(len(tidied), steps)
        for done, (name, table) in enumerate(tables.items(), len(names) + 1):
            days = _JOURNAL_DAYS if name in journal.TABLES else settings.keep_days
            tidied += _tidy_facts(name, table, days, limit)
            report(done, steps)
        blobs, blob_bytes = _sweep(store, limit)
    freed += blob_bytes + sum(each.before.bytes - each.after.bytes for each in tidied)
    seconds = time.monotonic() - started
    return TidyReport(tidied, dropped, rows, blobs, freed, seconds)


def _forget(store: Store, limit: dt.datetime, asked: dt.datetime) -> int:
    """Remove rows that only tell of what is long past, queries from before `asked`."""
    year = now() - _YEAR
    superseded = f"status = {quoted(SUPERSEDED)} AND {facts.before('updated_at', limit)}"
    return sum(
        _delete(table, where)
        for table, where in (
            (store.outcomes, superseded),
            (store.costs, facts.before("at", year)),
            (store.plans, facts.before("created_at", year)),
            *((table, facts.before("at", asked)) for table in (store.queries, store.feedback)),
        )
    )


def _delete(table: FactTable, where: str) -> int:
    rows = table.read(table.schema.names[:1], where).num_rows
    if rows:
        table.replace(where, [])
    return rows


def _needed(store: Store, keep_releases: int) -> dict[str, dict[str, int]]:
    """Return, for each LanceDB table, the releases that name it and the versions they name."""
    needed: dict[str, dict[str, int]] = {}
    for release, manifest in log.kept(store, keep_releases).items():
        for table, version in manifest.tables().items():
            needed.setdefault(table, {})[release] = version
    return needed


def _drop(store: Store, useful: Collection[str], limit: dt.datetime) -> tuple[list[str], int]:
    """Drop tables of encoders that nothing uses, if untouched since `limit`; names and bytes."""
    idle = [
        name
        for name in search.tables(store)
        if name not in useful
        and search.is_of_encoder(name)
        and search.last_written(store, name) < limit
    ]
    freed = sum(search.state(store, name, limit).bytes for name in idle)
    for name in idle:
        search.drop(store, name)
    return idle, freed


def _tidy_facts(name: str, table: FactTable, days: float, limit: dt.datetime) -> list[Tidied]:
    before = facts.state(table, name, limit)
    if before is None:
        return []
    table.compact()
    facts.clean(table, days)
    after = facts.state(table, name, limit)
    return [Tidied(before, after)] if after else []


def _sweep(store: Store, limit: dt.datetime) -> tuple[int, int]:
    """Remove old blobs that no segment references, and what broken writes left; how many, bytes."""
    kept = store.used_blobs()
    partial = now() - _PARTIAL_AGE

    def is_doomed(file: File) -> bool:
        if file.name.endswith(_PARTIAL):
            return file.is_older(partial)
        return file.name not in kept and file.is_older(limit)

    uri = f"{store.root}/blobs"
    doomed = [file for file in below(uri, store.storage_options) if is_doomed(file)]
    remove(uri, doomed, store.storage_options)
    return len(doomed), total(doomed)

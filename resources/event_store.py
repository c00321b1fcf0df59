"""Dagster's own logs: old ones are pruned, and what they show of what is erased is taken out.

A run is never deleted: what it materialized would count as missing and be made again. Every event
of an asset and of a run as a whole stays, and with them partitions, data versions and checks.
"""

import datetime as dt
import json
import re
import sqlite3
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import EVENT_TYPE_TO_PIPELINE_RUN_STATUS
from dagster._core.storage.dagster_run import FINISHED_STATUSES, DagsterRun
from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageTable
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster._serdes import deserialize_value, serialize_value

from pipelines.errors import MediadexError

_PRUNED_UNTIL = "mediadex/pruned_until"
# Pictures and words that assets show of a batch, as they stand in serialized markdown.
_PREVIEW = re.compile(r"!\[(?:contact sheet|pictures)\]\(data:[^)]*\)|```spoken.*?```", re.DOTALL)
_PREVIEWED = ("](data:", "```spoken")
_NO_PREVIEW = "What was shown here was removed."
_ERASED = "erased"
_BUSY_S = 60.0
_EVENTS = SqlEventLogStorageTable.c

_KIND = sa.func.coalesce(_EVENTS.dagster_event_type, "")
_KEPT = sa.or_(
    _KIND.startswith("ASSET_", autoescape=True),
    _KIND.in_([kind.value for kind in EVENT_TYPE_TO_PIPELINE_RUN_STATUS]),
)


class EventStoreBusy(MediadexError):
    """Dagster's database could not be rewritten, so that what was deleted may be left in it."""


def prune(instance: dg.DagsterInstance, days: float) -> dict[str, int]:
    """Remove step events, log lines and captured output of runs that ended so many days ago.

    Returns how many runs this touched, the rows removed, and the bytes by which files shrank.
    """
    cutoff = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    cursors = instance.daemon_cursor_storage
    done = cursors.get_cursor_values({_PRUNED_UNTIL}).get(_PRUNED_UNTIL)
    # A run is met once: when the time of its last change passes the cutoff.
    ended = dg.RunsFilter(
        statuses=FINISHED_STATUSES,
        updated_after=dt.datetime.fromisoformat(done) if done else None,
        updated_before=cutoff,
    )
    run_ids = instance.get_run_ids(ended)
    events: Any = instance.event_log_storage

    def steps_of(run_id: str) -> Callable[[sa.Connection], int]:
        doomed = SqlEventLogStorageTable.delete().where(_EVENTS.run_id == run_id, sa.not_(_KEPT))
        return lambda connection: connection.execute(doomed).rowcount

    removed = freed = 0
    for run_id in run_ids:
        rows, shrunk = _write(events.run_connection(run_id), steps_of(run_id))
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        removed, freed = removed + rows, freed + shrunk
    if not done or cutoff > dt.datetime.fromisoformat(done):
        cursors.set_cursor_values({_PRUNED_UNTIL: cutoff.isoformat()})
    return {"runs": len(run_ids), "events": removed, "bytes": freed}


def scrub_previews(instance: dg.DagsterInstance, batches: Collection[str]) -> int:
    """Take what events show of some batches, pictures and words, out of them; returns how many.

    On SQLite no byte of them is left in any file afterwards; on Postgres, once autovacuum has
    passed. Raises EventStoreBusy where another process keeps a SQLite file from being rewritten.
    """
    if not batches:
        return 0
    events: Any = instance.event_log_storage
    in_batches = _EVENTS.partition.in_(sorted(batches))
    runs: set[str] = set()

    def in_index(connection: sa.Connection) -> int:
        found = connection.execute(sa.select(_EVENTS.run_id).where(in_batches).distinct())
        runs.update(row.run_id for row in found)
        marks = [f'"partition": {json.dumps(batch)}' for batch in sorted(batches)]
        newest = [AssetKeyTable.c.last_materialization.contains(m, autoescape=True) for m in marks]
        return _scrub(connection, _EVENTS.event, in_batches) + _scrub(
            connection, AssetKeyTable.c.last_materialization, sa.or_(*newest)
        )

    def in_run(connection: sa.Connection) -> int:
        unsaid = _EVENTS.partition.is_(None)
        of_run = sa.and_(_EVENTS.run_id.in_(runs), sa.or_(in_batches, unsaid))
        return _scrub(connection, _EVENTS.event, of_run)

    scrubbed = _write(events.index_connection(), in_index, thorough=True)[0]
    for run_id in sorted(runs):
        scrubbed += _write(events.run_connection(run_id), in_run, thorough=True)[0]
    return scrubbed


def _scrub(connection: sa.Connection, column: Any, where: Any) -> int:
    shown = sa.or_(*(column.contains(mark, autoescape=True) for mark in _PREVIEWED))
    query = sa.select(column.table.c.id, column).where(sa.and_(where, shown))
    rows = connection.execute(query).all()
    for row_id, text in rows:
        clean = {column.name: _PREVIEW.sub(_NO_PREVIEW, text)}
        connection.execute(column.table.update().where(column.table.c.id == row_id).values(clean))
    return len(rows)


def scrub_runs(instance: dg.DagsterInstance, values: Collection[str]) -> int:
    """Replace values, such as item ids, that stand in the configuration or the tags of a run.

    Returns how many runs held one. Raises EventStoreBusy like `scrub_previews`.
    """
    wanted = frozenset(values)
    runs: Any = instance.run_storage

    def in_runs(connection: sa.Connection) -> int:
        changed = 0
        # In a stored run a value stands as JSON writes it.
        found = [RunsTable.c.run_body.contains(json.dumps(v), autoescape=True) for v in wanted]
        query = sa.select(RunsTable.c.run_id, RunsTable.c.run_body).where(sa.or_(*found))
        for run_id, body in connection.execute(query).all():
            run = deserialize_value(body, DagsterRun)
            config, tags = _without(run.run_config, wanted), _without(run.tags, wanted)
            if (config, tags) != (run.run_config, run.tags):
                clean = serialize_value(run._replace(run_config=config, tags=tags))
                this = RunsTable.update().where(RunsTable.c.run_id == run_id)
                connection.execute(this.values(run_body=clean))
                changed += 1
        tagged = RunTagsTable.update().where(RunTagsTable.c.value.in_(wanted))
        connection.execute(tagged.values(value=_ERASED))
        return changed

    return _write(runs.connect(), in_runs, thorough=True)[0] if wanted else 0


def _without(config: Any, values: Collection[str]) -> Any:
    if isinstance(config, dict):
        return {key: _without(value, values) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [_without(value, values) for value in config]
    return _ERASED if isinstance(config, str) and config in values else config


def _write(
    opened: AbstractContextManager[sa.Connection],
    work: Callable[[sa.Connection], int],
    thorough: bool = False,
) -> tuple[int, int]:
    """Do work in one transaction; returns its result and the bytes by which a SQLite file shrank.

    A SQLite file is written anew where something changed, or in any case when `thorough`.
    """
    with opened as connection:
        lite = connection.dialect.name == "sqlite"
        if lite:
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        result = work(connection)
        file = Path(connection.engine.url.database or "") if lite else None
    if file is None or not file.is_file() or not (result or thorough):
        return result, 0
    return result, _rewrite(file, thorough)


def _rewrite(file: Path, thorough: bool) -> int:
    before = file.stat().st_size
    busy = False
    try:
        with closing(sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            # The log of writes beside the file may still hold pages as they were.
            busy = bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    except sqlite3.OperationalError:
        busy = True
    if busy and thorough:
        raise EventStoreBusy(
            f"{file.name} of the Dagster instance is in use by another process, so bytes of what "
            "is erased may be left in it; stop the UI and run upkeep again"
        )
    return before - file.stat().st_size

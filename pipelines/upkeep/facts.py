"""Upkeep of Delta tables: few files, a short log, no files that only old versions need."""

import datetime as dt

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.tables.facts import FactTable
from pipelines.upkeep.files import File, below, total
from pipelines.upkeep.state import TableState

_SMALL = 1 << 20
_LOG = "/_delta_log/"
_RETENTION = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")


def before(column: str, moment: dt.datetime) -> str:
    """Return the SQL condition that a column of times is before a moment."""
    # A plain timestamp literal has nanoseconds, which a delete does not compare.
    kind = 'Timestamp(Microsecond, Some("UTC"))'
    return f"{column} < arrow_cast('{moment.astimezone(dt.UTC).isoformat()}', '{kind}')"


def state(table: FactTable, name: str, older_than: dt.datetime) -> TableState | None:
    """Describe a table; `None` for one that was never written.

    Commits from before `older_than` are stale where a later checkpoint holds what they say.
    """
    if table.version is None:
        return None
    files = below(table.uri, table.storage_options)
    commits = [file for file in files if _LOG in file.path and file.name.endswith(".json")]
    checkpoint = max((file.name for file in files if _is_checkpoint(file)), default="")
    adds = pa.table(_open(table).get_add_actions())
    sizes = adds["size_bytes"].to_pylist()
    small = sum(size < _SMALL for size in sizes)
    return TableState(
        name,
        "delta",
        rows=sum(adds["num_records"].to_pylist()),
        bytes=total(files),
        versions=len(commits),
        stale=sum(file.name < checkpoint and file.is_older(older_than) for file in commits),
        small_files=small if small > 1 else 0,
    )


def clean(table: FactTable, days: float) -> None:
    """Remove files and log entries that only versions older than `days` need."""
    opened, hours = _open(table), int(days * 24)
    wanted = dict.fromkeys(_RETENTION, f"interval {hours} hours")
    if not wanted.items() <= opened.metadata().configuration.items():
        opened.alter.set_table_properties(wanted)
    # Asked first, since a vacuum writes two commits even if there is nothing to remove.
    if opened.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True):
        table.vacuum(days)
    opened = _open(table)
    log = below(f"{table.uri}/_delta_log", table.storage_options)
    if not any(file.name.startswith(f"{opened.version():020d}.checkpoint") for file in log):
        opened.create_checkpoint()
    opened.cleanup_metadata()


def _open(table: FactTable) -> DeltaTable:
    return DeltaTable(table.uri, storage_options=table.storage_options)


def _is_checkpoint(file: File) -> bool:
    return _LOG in file.path and ".checkpoint" in file.name

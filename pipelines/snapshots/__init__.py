"""Copies of a home elsewhere: taken every night, kept a while, tried out, brought back."""

from pipelines.snapshots.archive import NoSnapshot, Snapshot, expire, forget_before, listed
from pipelines.snapshots.drills import DrillReport, drill
from pipelines.snapshots.erased import remember_erasures
from pipelines.snapshots.files import SnapshotDamaged
from pipelines.snapshots.restoring import HomeInUse, Restored, restore
from pipelines.snapshots.taking import take

__all__ = [
    "DrillReport",
    "HomeInUse",
    "NoSnapshot",
    "Restored",
    "Snapshot",
    "SnapshotDamaged",
    "drill",
    "expire",
    "forget_before",
    "listed",
    "remember_erasures",
    "restore",
    "take",
]

"""The place of snapshots: what lies there, how long it stays, and how it goes.

A snapshot is one listing, written last: each file of the home with the digest under which the pool
holds its content.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel

from pipelines.errors import MediadexError
from pipelines.outcomes import now
from pipelines.settings import Settings
from pipelines.snapshots.contents import Held
from pipelines.snapshots.files import Kept, Pool, Tree
from pipelines.tables.lock import HomeLock

NAME = "%Y-%m-%dT%H%M%S.%fZ"


class NoSnapshot(MediadexError):
    """There is no snapshot, or nothing to make one of, or no place for it."""


class Snapshot(BaseModel):
    """What a home was at a moment: its files by path, and what its tables held.

    `migration` is the number of its columns; `read` are the bytes that had to be read for it.
    """

    name: str
    taken_at: dt.datetime
    migration: int
    config: dict[str, Kept]
    files: dict[str, Kept]
    tables: list[Held]
    read: int
    seconds: float

    @property
    def bytes(self) -> int:
        """The size of the home, which the pool holds but for what is there twice."""
        return sum(file.size for file in self.files.values())

    @property
    def rows(self) -> dict[str, int]:
        """Rows of the newest version of every table."""
        return {state.table: state.rows for state in self.tables}


def expire(settings: Settings, moment: dt.datetime | None = None) -> list[str]:
    """Remove the snapshots that are over `keep_snapshot_days` old; the newest stays.

    Days are counted by the calendar (UTC), so that a nightly run may be some minutes late. Returns
    the names of what went.
    """
    today = (moment or now()).date()

    def is_old(name: str) -> bool:
        return (today - moment_of(name).date()).days > settings.keep_snapshot_days

    with alone(settings):
        tree = root(settings)
        return _remove(settings, tree, [name for name in names(tree)[:-1] if is_old(name)])


def forget_before(settings: Settings, moment: dt.datetime) -> list[str]:
    """Remove all snapshots older than a moment, the newest too, and what only they held.

    After an erasure and its purge, the erased bytes still lie in every snapshot taken before: they
    go when these expire, or by this. Take a new snapshot first, or none is left. Versions and
    copies that the storage itself keeps, such as those of a versioned bucket, are beyond reach.
    Returns the names of what went.
    """
    with alone(settings):
        tree = root(settings)
        doomed = [name for name in names(tree) if moment_of(name) < moment]
        return _remove(settings, tree, doomed)


def root(settings: Settings) -> Tree:
    """Open the place of snapshots; raises NoSnapshot when the settings name none."""
    if not settings.snapshots:
        raise NoSnapshot("no place for snapshots; set `snapshots` in mediadex.toml to a URI")
    return Tree(settings.snapshots)


def names(tree: Tree) -> list[str]:
    """Return the names of all snapshots, oldest first."""
    return [name.removesuffix(".json") for name in tree.names() if name.endswith(".json")]


def moment_of(name: str) -> dt.datetime:
    """Return when a snapshot was taken."""
    return dt.datetime.strptime(name, NAME).replace(tzinfo=dt.UTC)


def load(tree: Tree, name: str) -> Snapshot:
    """Read a snapshot; raises NoSnapshot for one that is not there."""
    try:
        return Snapshot.model_validate_json(b"".join(tree.read(f"{name}.json")))
    except FileNotFoundError:
        raise NoSnapshot(
            f"there is no snapshot {name} in {tree.root}; `mediadex snapshots` lists them"
        ) from None


def listed(settings: Settings) -> list[Snapshot]:
    """Read all snapshots, oldest first."""
    tree = root(settings)
    return [load(tree, name) for name in names(tree)]


def newest(tree: Tree) -> Snapshot | None:
    """Read the newest snapshot, `None` where there is none."""
    known = names(tree)
    return load(tree, known[-1]) if known else None


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keep other takers and removers of this home's snapshots out."""
    with HomeLock(str(settings.home.resolve() / "locks" / "snapshots")).exclusive():
        yield


def _remove(settings: Settings, tree: Tree, doomed: list[str]) -> list[str]:
    for name in doomed:
        tree.remove(f"{name}.json")
    if doomed:
        needed: set[str] = set()
        for name in names(tree):
            left = load(tree, name)
            needed |= {file.digest for file in [*left.files.values(), *left.config.values()]}
        Pool(tree, settings.workers).sweep(needed)
    return doomed

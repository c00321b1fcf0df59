"""Bringing a home back from a snapshot, file by file, each checked against its digest."""

import logging
import time
import tomllib

from pydantic import BaseModel

from pipelines.errors import MediadexError
from pipelines.progress import LOGGER
from pipelines.settings import Settings
from pipelines.snapshots.archive import NoSnapshot, Snapshot, alone, load, newest, root
from pipelines.snapshots.contents import count
from pipelines.snapshots.erased import erase_again
from pipelines.snapshots.files import Pool, Progress, Tree
from pipelines.snapshots.taking import PARTS, is_commit
from pipelines.store import Store
from pipelines.tables import migrations


class HomeInUse(MediadexError):
    """A home that holds something already, where an empty one is needed."""


class Restored(BaseModel):
    """What came back: rows by table, bytes, and how many items were erased once more."""

    snapshot: str
    rows: dict[str, int]
    bytes: int
    seconds: float
    erased_again: int
    migrated: list[str]


def restore(source: str, into: Settings, progress: Progress | None = None) -> Restored:
    """Bring a snapshot back into an empty home: `latest`, a name, or the URI of its listing.

    Every file is checked against its digest. What was erased after the snapshot is erased again: it
    is hidden at once, and a purge then removes its bytes. Older columns are migrated. Raises
    NoSnapshot, HomeInUse, SnapshotDamaged, or WrongSchema for a snapshot of newer code.
    """
    started = time.monotonic()
    tree, snapshot = find(source, into)
    migrations.known(snapshot.migration)
    store = Store(into.root)
    with alone(into):
        with store.lock.exclusive():
            target = Tree(store.root, store.storage_options)
            if any(target.find(part) for part in PARTS):
                raise HomeInUse(
                    f"{store.root} is not empty; restore into an empty home, or remove its folders "
                    f"{', '.join(PARTS)} first"
                )
            migrations.close(store, f"the restore of {snapshot.name} was broken off")
            bring_back(tree, snapshot, store, into.workers, progress)
            _bring_config(tree, snapshot, into)
        migrated = migrations.migrate(store)
        erased = erase_again(store, tree)
        migrations.reopen(store)
    return Restored(
        snapshot=snapshot.name,
        rows=count(store),
        bytes=snapshot.bytes,
        seconds=round(time.monotonic() - started, 3),
        erased_again=erased,
        migrated=migrated,
    )


def find(source: str, settings: Settings) -> tuple[Tree, Snapshot]:
    """Open a snapshot by `latest`, name or URI; raises NoSnapshot for one that is not there."""
    if source.endswith(".json"):
        place, _, name = source.rpartition("/")
        tree = Tree(place or ".")
        return tree, load(tree, name.removesuffix(".json"))
    tree = root(settings)
    if source != "latest":
        return tree, load(tree, source)
    snapshot = newest(tree)
    if snapshot is None:
        raise NoSnapshot(f"there is no snapshot in {tree.root} yet; take one: `mediadex snapshot`")
    return tree, snapshot


def bring_back(
    tree: Tree, snapshot: Snapshot, into: Store, workers: int, progress: Progress | None
) -> None:
    """Write a snapshot's files into an empty store, what names the others last."""
    pool, target = Pool(tree, workers), Tree(into.root, into.storage_options)
    commits = {path: file for path, file in snapshot.files.items() if is_commit(path)}
    others = {path: file for path, file in snapshot.files.items() if path not in commits}
    pool.bring(others, target, progress)
    pool.bring(commits, target, None)


def _bring_config(tree: Tree, snapshot: Snapshot, into: Settings) -> None:
    """Bring settings and policy back where the home has none, unless they lead elsewhere."""
    home = Tree(str(into.home.resolve()))
    for path, file in snapshot.config.items():
        if home.find(path):
            continue
        Pool(tree, 1).bring({path: file}, home, None)
        restored = into.home / path
        if path == "mediadex.toml":
            storage = tomllib.loads(restored.read_text()).get("storage", "")
            if storage and storage.rstrip("/") != into.root:
                aside = restored.rename(restored.with_suffix(".restored"))
                logging.getLogger(LOGGER).warning(
                    "the snapshot's settings name another storage; they lie in %s", aside
                )

"""Taking a snapshot of a home while others write.

Files of Delta and LanceDB never change and a commit only adds some, so it is enough to list commits
before the files that they name, and what names the others first; the lock keeps out what removes
files. What is left out: the Dagster instance, locks, notes and journals.
"""

import time
from collections.abc import Container, Mapping

from pipelines.outcomes import now
from pipelines.settings import Settings
from pipelines.snapshots.archive import NAME, NoSnapshot, Snapshot, alone, newest, root
from pipelines.snapshots.contents import delta_tables, held, states
from pipelines.snapshots.erased import remember_erasures
from pipelines.snapshots.files import Kept, Pool, Progress, Tree
from pipelines.store import Store
from pipelines.tables import migrations

CONFIG = ("mediadex.toml", "policy.toml")
PARTS = ("delta", "lance", "blobs", "proofs")
# In this order: releases name versions of LanceDB tables, and so do tags.
_COMMITS = ("delta/releases/_delta_log", "lance/*/_refs", "lance/*/_versions", "delta/*/_delta_log")
_COMMIT_FOLDERS = ("/_delta_log/", "/_versions/", "/_refs/")
# Rewritten in place, and only there to save a listing.
_HINTS = ("_last_checkpoint", "latest_version_hint.json")
_TRIES = 5


def take(store: Store, settings: Settings, progress: Progress | None = None) -> Snapshot:
    """Copy what is new in a home to the pool and list all of it.

    Raises NoSnapshot for a home without tables, and where the settings name no place.
    """
    started = time.monotonic()
    pool = Pool(root(settings), settings.workers)
    with alone(settings), store.lock.shared():
        if not delta_tables(store):
            raise NoSnapshot(f"{store.root} holds no tables; run `mediadex index FOLDER` first")
        taken_at, number, pinned = now(), migrations.state(store), states(store)
        last = newest(pool.tree)
        before, known = (last.files, last.tables) if last else ({}, [])
        files = _keep(Tree(store.root, store.storage_options), pool, before, progress)
        summed = {state.commit: state for state in known}
        tables = [held(store, state, files, summed) for state in pinned]
        config = _keep_config(settings, pool)
        remember_erasures(store, settings)
        snapshot = Snapshot(
            name=taken_at.strftime(NAME),
            taken_at=taken_at,
            migration=number,
            config=config,
            files=files,
            tables=tables,
            read=sum(file.size for path, file in files.items() if file != before.get(path)),
            seconds=round(time.monotonic() - started, 3),
        )
        listing = [snapshot.model_dump_json().encode()]
        pool.tree.write(listing, f"{snapshot.name}.json")
    return snapshot


def is_commit(path: str) -> bool:
    """Tell whether a file says which other files make up a version of a table."""
    return any(folder in path for folder in _COMMIT_FOLDERS)


def _keep(
    source: Tree, pool: Pool, before: Mapping[str, Kept], progress: Progress | None
) -> dict[str, Kept]:
    files: dict[str, Kept] = {}
    for pattern in _COMMITS:
        files |= _keep_commits(source, pool, before, pattern, {_folder(path) for path in files})
    # Nothing is removed meanwhile, so what vanishes was a write that went on under another name.
    found = {
        path: file
        for part in PARTS
        for path, file in source.find(part).items()
        if not is_commit(path)
    }
    return files | pool.keep(source, found, before, progress, may_vanish=True)


def _keep_commits(
    source: Tree, pool: Pool, before: Mapping[str, Kept], pattern: str, listed: Container[str]
) -> dict[str, Kept]:
    """Keep the commits of a moment, save in folders that were listed at an earlier one.

    A log that is tidied meanwhile is listed again.
    """
    for attempt in range(_TRIES):
        found = {
            path: file
            for path, file in source.find(pattern).items()
            if not path.endswith(_HINTS) and _folder(path) not in listed
        }
        try:
            return pool.keep(source, found, before)
        except FileNotFoundError:
            if attempt == _TRIES - 1:
                raise
    return {}


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _keep_config(settings: Settings, pool: Pool) -> dict[str, Kept]:
    home = Tree(str(settings.home.resolve()))
    found = {path: file for name in CONFIG for path, file in home.find(name).items()}
    return pool.keep(home, found, {})

"""Purging: rewriting all that holds bytes of erased items, in rollback targets too, and proving it.

A journal in the root says what is being removed. A purge that was killed is taken up by the next
one where it stood; each of its steps can be done twice. The journal goes last.
"""

import base64
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import fsspec
from pydantic import BaseModel

from pipelines import ledger
from pipelines.catalog.uploads import Uploads
from pipelines.erasure import facts, proof, versions
from pipelines.erasure.needles import Finder, Needle, collect, shared
from pipelines.erasure.proof import Proof
from pipelines.erasure.versions import Moved
from pipelines.releases import log
from pipelines.releases.manifest import Manifest
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import equals_any

SERVING_GRACE_S = 3.0
"""Seconds that servers have to follow new manifests before the old versions are removed."""

Progress = Callable[[int, int], None]
Cleanse = Callable[[Collection[str], Collection[str]], object]

_JOURNAL = "purge.json"


class _Journal(BaseModel):
    """What is being purged: items with their batches, values to look for, versions done."""

    items: dict[str, str | None] = {}
    sources: list[str] = []
    needles: list[tuple[str, str]] = []
    moved: dict[str, dict[int, Moved]] = {}
    removed: dict[str, int] = {}

    def sought(self) -> list[Needle]:
        """Return the values to look for."""
        return [Needle(kind, base64.b64decode(value)) for kind, value in self.needles]

    def uris(self) -> list[str]:
        """Return the addresses at which the items ever were."""
        return [needle.value.decode() for needle in self.sought() if needle.kind == "uri"]


def is_due(store: Store) -> bool:
    """Tell whether anything waits to be purged, or a purge was not finished."""
    return bool(ledger.pending(store)) or _read(store) is not None


def purge(
    store: Store,
    settings: Settings,
    progress: Progress = lambda done, total: None,
    *,
    cleanse: Cleanse = lambda batches, item_ids: None,
    grace_s: float = SERVING_GRACE_S,
) -> Proof | None:
    """Remove every byte of the erased items and write the proof; `None` when none are erased.

    Waits until nobody writes. `cleanse` is called with the items' batches and ids before the
    search, for what others keep of them. Raises MediadexError, naming places, when something is
    left; the erasure then stays pending, and no answer shows the items.
    """
    started = time.monotonic()
    with store.lock.exclusive():
        journal = _begin(store)
        if journal is None:
            return None
        steps = len(versions.table_names(store)) + 4
        ids = set(journal.items)
        needles = _renew_tables(store, settings, journal, lambda done: progress(done, steps))
        _switch_releases(store, settings, journal, grace_s)
        progress(steps - 3, steps)
        facts.remove(store, ids, journal.uris(), needles)
        journal.removed["blobs"] = _remove_blobs(store)
        journal.removed["uploads"] = Uploads(store, settings).remove(ids)
        progress(steps - 2, steps)
        cleanse({batch for batch in journal.items.values() if batch}, ids)
        ledger.settle(store, ids)
        facts.forget_history(store.ledger)
        progress(steps - 1, steps)
        found = proof.search(
            store,
            settings,
            ids,
            journal.sought(),
            (_JOURNAL, _partial()),
            journal.sources,
            journal.removed,
        )
        finished = found.model_copy(update={"seconds": round(time.monotonic() - started, 3)})
        written = proof.write(store, finished)
        _drop(store)
        progress(steps, steps)
        return written


def _begin(store: Store) -> _Journal | None:
    """Return the journal, with what was erased since it was begun; `None` with nothing to do."""
    journal = _read(store)
    ids = set(ledger.pending(store))
    if journal is None and not ids:
        return None
    journal = journal or _Journal()
    new = ids - journal.items.keys()
    if new:
        rows = store.items.rows(["item_id", "batch", "origins"], equals_any("item_id", new))
        sources = {o["source"] for row in rows for o in row["origins"] or ()} | {*journal.sources}
        needles = {*journal.sought(), *collect(store, new)}
        # A source may be a single file; its address is then a setting, not a trace.
        needles -= {Needle("uri", source.encode()) for source in sources}
        journal.items |= dict.fromkeys(new) | {row["item_id"]: row["batch"] for row in rows}
        journal.sources = sorted(sources)
        journal.needles = [
            (each.kind, base64.b64encode(each.value).decode()) for each in sorted(needles)
        ]
        # Versions that were made anew may hold the items that came later.
        journal.moved = {}
        _write(store, journal)
    return journal


def _renew_tables(
    store: Store, settings: Settings, journal: _Journal, progress: Callable[[int], None]
) -> Sequence[Needle]:
    """Make every version anew; returns the needles that only the items' own rows hold."""
    needles, ids = journal.sought(), set(journal.items)
    common = shared(store, ids, Finder(needles))
    finder = Finder([each for number, each in enumerate(needles) if number not in common])
    kept = log.kept(store, settings.keep_releases).values()
    for done, name in enumerate(versions.table_names(store)):
        progress(done)
        wanted = {tables[name] for tables in map(Manifest.tables, kept) if name in tables}
        moved = journal.moved.setdefault(name, {})
        versions.renew(store, name, wanted, ids, finder, moved, lambda: _write(store, journal))
    return finder.needles


def _switch_releases(store: Store, settings: Settings, journal: _Journal, grace_s: float) -> None:
    """Let releases name the new versions, give servers time to follow, remove the old ones."""
    kept = log.kept(store, settings.keep_releases)
    renewed = {name: _renewed(manifest, journal.moved) for name, manifest in kept.items()}
    changed = [manifest for name, manifest in renewed.items() if manifest != kept[name]]
    if changed:
        log.rewrite(store, changed, f"{len(journal.items)} erased")
    time.sleep(grace_s)
    removed = 0
    for name in versions.table_names(store):
        present = versions.left(store, name)
        tags = {r: m.tables()[name] for r, m in renewed.items() if m.tables().get(name) in present}
        removed += versions.clean(store, name, tags)
    journal.removed["versions"] = journal.removed.get("versions", 0) + removed
    _write(store, journal)


def _renewed(manifest: Manifest, moved: Mapping[str, Mapping[int, Moved]]) -> Manifest:
    """Return a manifest with the versions that stand for its own; a table left empty goes."""
    gone: set[str] = set()
    channels = {}
    for name, channel in manifest.channels.items():
        now = moved.get(channel.table, {}).get(channel.version)
        gone |= set(now.erased if now else ())
        if now is None or now.rows:
            update = now.model_dump(exclude={"erased"}) if now else {}
            channels[name] = channel.model_copy(update=update)
    passages = manifest.passages
    now = moved.get(passages.table, {}).get(passages.version) if passages else None
    if passages and now:
        gone |= set(now.erased)
        update = now.model_dump(include={"version", "rows"})
        passages = passages.model_copy(update=update) if now.rows else None
    items = manifest.items - len(gone)
    return manifest.model_copy(update={"items": items, "channels": channels, "passages": passages})


def _remove_blobs(store: Store) -> int:
    """Remove the blobs that no segment refers to, and what killed writers left."""
    used = store.used_blobs()
    unused = [name for name in store.blobs.names() if name not in used]
    for name in unused:
        store.blobs.remove(name)
    return len(unused)


def _partial() -> str:
    return f"{_JOURNAL}.part"


def _place(store: Store, name: str) -> tuple[fsspec.AbstractFileSystem, str]:
    return fsspec.core.url_to_fs(f"{store.root}/{name}", **store.storage_options)


def _read(store: Store) -> _Journal | None:
    files, path = _place(store, _JOURNAL)
    return _Journal.model_validate_json(files.cat_file(path)) if files.exists(path) else None


def _write(store: Store, journal: _Journal) -> None:
    files, path = _place(store, _JOURNAL)
    partial = _place(store, _partial())[1]
    files.pipe_file(partial, json.dumps(journal.model_dump(mode="json")).encode())
    files.mv(partial, path)


def _drop(store: Store) -> None:
    for name in (_partial(), _JOURNAL):
        files, path = _place(store, name)
        if files.exists(path):
            files.rm_file(path)

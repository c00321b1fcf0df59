"""The log of releases in its table: promoting, rolling back and rewriting are one append each."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipelines.errors import NotReleased
from pipelines.releases.events import Event, Log
from pipelines.releases.manifest import Manifest, Verdict
from pipelines.store import Store
from pipelines.tables.facts import select

# Each entry is a file; merging them now and then keeps reading the log as fast as it was.
_COMPACT_EVERY = 16
_SERVING = """
SELECT manifest FROM log WHERE manifest IS NOT NULL AND release = (
    SELECT release FROM log WHERE event IN ('promoted', 'rolled back')
    ORDER BY sequence DESC LIMIT 1
) ORDER BY sequence DESC LIMIT 1
"""


def read(store: Store) -> Log:
    """Return all entries."""
    return _parsed(store.releases.rows())


def append(store: Store, decide: Callable[[Log], Sequence[Event]]) -> None:
    """Add what `decide` returns for all entries so far, in one commit with nothing in between.

    When another process commits first, `decide` is asked again.
    """

    def rows(before: list[dict[str, Any]]) -> list[dict[str, Any]]:
        log = _parsed(before)
        start = log.events[-1].sequence + 1 if log.events else 1
        return [
            _row(replace(event, sequence=number)) for number, event in enumerate(decide(log), start)
        ]

    added = store.releases.append_after(rows)
    if any(row["sequence"] % _COMPACT_EVERY == 0 for row in added):
        store.releases.compact()


def serving(store: Store) -> Manifest | None:
    """Return the manifest that is searched, `None` before the first promotion."""
    found = select(_SERVING, pa.schema([("manifest", pa.string())]), log=store.releases)
    return Manifest.model_validate_json(found["manifest"][0].as_py()) if len(found) else None


def require(store: Store) -> Manifest:
    """Return the manifest that is searched; raises NotReleased with the way out."""
    manifest = serving(store)
    if manifest is None:
        raise NotReleased("nothing is released yet; run `mediadex index FOLDER` first")
    return manifest


def manifests(store: Store) -> dict[str, Manifest]:
    """Return the newest manifest of every release, whatever became of it, oldest first."""
    return read(store).manifests


def kept(store: Store, count: int) -> dict[str, Manifest]:
    """Return the releases that must stay servable, oldest first.

    These are the serving one, the last `count` that were ever promoted, and the candidates that
    are newer than the serving one.
    """
    log = read(store)
    current = log.served[-1] if log.served else ""
    waiting = [name for name, state in log.states.items() if state == "candidate"]
    names = {current, *log.promoted[:count], *(name for name in waiting if name > current)}
    return {name: manifest for name, manifest in log.manifests.items() if name in names}


def rewrite(store: Store, manifests: Iterable[Manifest], note: str) -> None:
    """Give releases new manifests, under the names that they carry, in one commit."""
    changed = [Event("rewritten", each.release, each, note=note) for each in manifests]
    append(store, lambda log: changed)


def waiting(store: Store) -> str | None:
    """Return the newest release where it is a candidate that waits for its promotion."""
    log = read(store)
    newest = max(log.manifests, default=None)
    return newest if newest and log.states[newest] == "candidate" else None


def history(store: Store) -> list[dict[str, Any]]:
    """Return one row a release, newest first: when, state, items, tables, models, verdict."""
    log = read(store)
    return [
        {
            "release": name,
            "created_at": manifest.created_at.isoformat(timespec="seconds"),
            "state": log.states[name],
            "items": manifest.items,
            "tables": manifest.tables(),
            "models": {
                channel: version.identity["name"] for channel, version in manifest.channels.items()
            },
            "verdict": [gate.model_dump() for gate in log.verdicts[name].gates],
            "evaluation": log.verdicts[name].metrics,
        }
        for name, manifest in reversed(log.manifests.items())
    ]


def _parsed(rows: Iterable[dict[str, Any]]) -> Log:
    return Log(
        [
            Event(
                row["event"],
                row["release"],
                Manifest.model_validate_json(row["manifest"]) if row["manifest"] else None,
                Verdict.model_validate_json(row["verdict"]) if row["verdict"] else None,
                row["note"],
                row["created_at"],
                row["sequence"],
            )
            for row in sorted(rows, key=lambda row: row["sequence"])
        ]
    )


def _row(event: Event) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "event": event.kind,
        "release": event.release,
        "created_at": event.at,
        "manifest": event.manifest and event.manifest.model_dump_json(),
        "verdict": event.verdict and event.verdict.model_dump_json(),
        "note": event.note,
    }

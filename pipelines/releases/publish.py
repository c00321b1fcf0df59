"""Deciding what is served: a candidate passes the gates and is promoted, or the last one stays."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipelines.errors import GateRefused, MediadexError, NotReleased
from pipelines.models.protocols import ModelChoice
from pipelines.releases import log
from pipelines.releases.candidate import (
    at_version,
    build,
    count_items,
    is_as_tuned,
    present,
    protect,
)
from pipelines.releases.events import Event, Kind, Log
from pipelines.releases.gates import ask
from pipelines.releases.manifest import Manifest, Verdict
from pipelines.settings import Settings
from pipelines.store import Store

# These stand while nothing changes; one that was refused or superseded is asked about again.
_SETTLED = ("serving", "rolled back", "candidate")
_LOCK_WAIT_S = 60.0


class Publication(NamedTuple):
    """A release, whether it is new, what was decided on it last, and what the gates said."""

    manifest: Manifest
    new: bool
    event: Kind
    verdict: Verdict


def publish(
    store: Store, encoders: Mapping[str, ModelChoice], settings: Settings, hold: bool = False
) -> Publication:
    """Make a release of the present state of all tables, and promote it if the gates pass it.

    With `hold`, or after a rollback, it stays a candidate until `promote`. With nothing changed the
    release of this state stands, also one on hold or rolled back; if it was refused, or if another
    one serves by now because other models had been chosen, the gates are asked again.
    """
    with store.lock.shared():
        before = log.read(store)
        candidate = build(store, encoders, settings.index_rows, before.manifests)
        same = _same(before, candidate, before)
        if same is not None and before.states[same.release] in _SETTLED:
            return _standing(before, same)
        subject = same or candidate
        verdict = ask(subject, before.serving, store, settings)
        kind: Kind = "refused" if not verdict.passed else "promoted"
        if kind == "promoted" and (hold or before.is_held):
            kind = "candidate"
        decided: list[Publication] = []

        def decide(now: Log) -> Sequence[Event]:
            same = _same(now, subject, before)
            if same is None:
                named = subject.model_copy(update={"release": now.next_name})
                decided[:] = [Publication(named, True, kind, verdict)]
                return [Event(kind, named.release, named, verdict)]
            standing = _standing(now, same)
            again = now.states[same.release] == "refused" and standing[2:] == (kind, verdict)
            if again or now.states[same.release] in _SETTLED:
                decided[:] = [standing]
                return []
            decided[:] = [Publication(same, False, kind, verdict)]
            return [Event(kind, same.release, verdict=verdict)]

        log.append(store, decide)
        if decided[0].new:
            protect(store, [decided[0].manifest])
        return decided[0]


def is_current(store: Store, encoders: Mapping[str, ModelChoice]) -> bool:
    """Tell whether `publish` would leave everything as it is, without reading whole tables."""
    past = log.read(store)
    tables = [store.channel(name, each.identity) for name, each in encoders.items()]
    stand = dict(filter(None, map(present, [*tables, store.passages])))
    specs = {name: each.spec for name, each in encoders.items()}
    items, counted = store.items.version, -1
    for name, manifest in reversed(past.manifests.items()):
        chosen = {channel: version.spec for channel, version in manifest.channels.items()}
        if manifest.tables() != stand or not chosen.items() <= specs.items():
            continue
        if items != manifest.facts.get("items"):
            counted = count_items(store) if counted < 0 else counted
            if counted != manifest.items:
                continue
        return past.states[name] in _SETTLED and is_as_tuned(store, manifest)
    return False


def promote(store: Store, release: str, settings: Settings) -> Publication:
    """Serve a release if the gates, by today's policy, pass it.

    Raises GateRefused, naming gates and numbers, or MediadexError for a release that is unknown or
    whose tables were cleaned.
    """
    with store.lock.shared(_LOCK_WAIT_S):
        past = log.read(store)
        manifest = _servable(store, past, release)
        verdict = ask(manifest, past.serving, store, settings)
        if not verdict.passed:
            raise GateRefused(f"{release} is not promoted: {verdict.reason()}")
        if past.states[release] != "serving":
            log.append(store, lambda _: [Event("promoted", release, verdict=verdict)])
        return Publication(manifest, False, "promoted", verdict)


def rollback(store: Store, release: str | None = None) -> Manifest:
    """Serve an earlier release again: the named one, else the one that served before this one.

    No gate is asked. Raises MediadexError where there is none, or where its tables were cleaned.
    """
    found: list[Manifest] = []

    def decide(past: Log) -> Sequence[Event]:
        if not past.served:
            raise NotReleased("nothing is released yet; run `mediadex index FOLDER` first")
        if release is None and len(past.served) < 2:
            raise MediadexError(f"nothing served before {past.served[-1]}; name a release")
        manifest = _servable(store, past, release or past.served[-2])
        if manifest.release not in past.promoted:
            raise MediadexError(
                f"{manifest.release} never served; `mediadex promote {manifest.release}` "
                "asks the gates and serves it"
            )
        found[:] = [manifest]
        serves = past.states[manifest.release] == "serving"
        return [] if serves else [Event("rolled back", manifest.release)]

    with store.lock.shared(_LOCK_WAIT_S):
        log.append(store, decide)
    return found[0]


def _servable(store: Store, past: Log, release: str) -> Manifest:
    manifest = past.manifest(release)
    for table, version in manifest.tables().items():
        at_version(store, table, version)
    return manifest


def _same(past: Log, candidate: Manifest, before: Log) -> Manifest | None:
    """Return the newest release that names the state which a candidate names, or a later one.

    A later one can only have been entered since `before`, while the candidate was being built.
    """
    for name, manifest in reversed(past.manifests.items()):
        overtaken = name not in before.manifests and manifest.is_ahead_of(candidate)
        if overtaken or manifest.contents() == candidate.contents():
            return manifest
    return None


def _standing(past: Log, manifest: Manifest) -> Publication:
    release = manifest.release
    state = past.states[release]
    event: Kind = state if state in ("candidate", "refused") else "promoted"
    return Publication(manifest, False, event, past.verdicts[release])

"""What the entries of the log mean: which release serves, and what became of the others."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pipelines.errors import MediadexError
from pipelines.outcomes import now
from pipelines.releases.manifest import Manifest, Verdict

Kind = Literal["promoted", "candidate", "refused", "rolled back", "rewritten"]
State = Literal["serving", "superseded", "rolled back", "candidate", "refused"]


@dataclass(frozen=True)
class Event:
    """One entry. `manifest` is given where it is new, `verdict` where gates were asked."""

    kind: Kind
    release: str
    manifest: Manifest | None = None
    verdict: Verdict | None = None
    note: str | None = None
    at: dt.datetime = field(default_factory=now)
    sequence: int = 0


class Log:
    """All entries up to some moment, oldest first."""

    def __init__(self, events: Sequence[Event]):
        self.events = events

    @cached_property
    def manifests(self) -> dict[str, Manifest]:
        """The newest manifest of every release, oldest first."""
        newest = {event.release: event.manifest for event in self.events if event.manifest}
        return dict(sorted(newest.items()))

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """What the gates said last of every release; nothing where none was asked."""
        given = {event.release: event.verdict for event in self.events if event.verdict}
        return {name: given.get(name, Verdict(gates=[])) for name in self.manifests}

    @cached_property
    def promoted(self) -> list[str]:
        """The releases that were ever promoted, the last one first."""
        kinds = [event.release for event in reversed(self.events) if event.kind == "promoted"]
        return list(dict.fromkeys(kinds))

    @cached_property
    def served(self) -> list[str]:
        """The releases that served, without those that were rolled back; the last one serves.

        Rolling back twice thus leads two releases back, not forward again.
        """
        stack: list[str] = []
        for event in self.events:
            if event.kind == "rolled back" and event.release in stack:
                del stack[stack.index(event.release) + 1 :]
            elif event.kind in ("promoted", "rolled back"):
                stack = [name for name in stack if name != event.release] + [event.release]
        return stack

    @property
    def is_held(self) -> bool:
        """Whether somebody went back last: then nothing new is served until it is promoted."""
        kinds = [event.kind for event in self.events if event.kind in ("promoted", "rolled back")]
        return bool(kinds) and kinds[-1] == "rolled back"

    @property
    def serving(self) -> Manifest | None:
        """The manifest that is searched."""
        return self.manifests[self.served[-1]] if self.served else None

    @cached_property
    def states(self) -> dict[str, State]:
        """What became of every release."""
        decided = {
            event.release: event.kind
            for event in self.events
            if event.kind in ("promoted", "candidate", "refused")
        }
        return {name: self._state(name, decided[name]) for name in self.manifests}

    def _state(self, name: str, decided: Kind) -> State:
        if self.served and name == self.served[-1]:
            return "serving"
        if name in self.served:
            return "superseded"
        if name in self.promoted:
            return "rolled back"
        return "candidate" if decided == "candidate" else "refused"

    @property
    def next_name(self) -> str:
        """The name that the next release gets."""
        return f"r{int(max(self.manifests, default='r0')[1:]) + 1:06d}"

    def manifest(self, release: str) -> Manifest:
        """Return the newest manifest of a release; raises MediadexError for one that is unknown."""
        if release not in self.manifests:
            raise MediadexError(f"there is no release {release}; `mediadex releases` lists them")
        return self.manifests[release]

"""What a release is: the versions of all tables, the models' identities, what the gates said."""

import datetime as dt
from typing import Any

from pydantic import BaseModel


class ChannelVersion(BaseModel):
    """One channel's table in a release: `rows` vectors of `items` items.

    Its index is asked with `nprobes` and `refine` (LanceDB's terms), as tuning chose them.
    """

    table: str
    version: int
    rows: int
    items: int
    spec: str
    identity: dict[str, Any]
    indexed: bool
    nprobes: int = 20
    refine: int = 2


class PassageVersion(BaseModel):
    """The full-text table in a release."""

    table: str
    version: int
    rows: int


class Learned(BaseModel):
    """What was learned from labelled queries: weights of channels, and Platt's a and b of each.

    A raw similarity s is calibrated to 1 / (1 + exp(a s + b)).
    """

    weights: dict[str, float]
    platt: dict[str, tuple[float, float]]


class Manifest(BaseModel):
    """Everything that search needs to know of a release; `facts` holds versions of Delta tables.

    `learned` is `None` while the fixed scales and weights answer better. `behind_since` is when the
    first of those items changed whose rows are still as they were; `None` where there is none.
    """

    release: str
    created_at: dt.datetime
    items: int
    facts: dict[str, int]
    channels: dict[str, ChannelVersion]
    passages: PassageVersion | None
    learned: Learned | None = None
    behind_since: dt.datetime | None = None

    def contents(self) -> dict[str, Any]:
        """Return what makes one release differ from another."""
        return self.model_dump(exclude={"release", "created_at", "facts", "behind_since"})

    @property
    def current_until(self) -> dt.datetime:
        """Before this time no item changed without its rows knowing."""
        return min(self.created_at, self.behind_since or self.created_at)

    def tables(self) -> dict[str, int]:
        """Return the version of every LanceDB table by its name."""
        named: list[ChannelVersion | PassageVersion] = [*self.channels.values()]
        named += [self.passages] if self.passages else []
        return {each.table: each.version for each in named}

    def is_ahead_of(self, other: "Manifest") -> bool:
        """Tell whether every table stands here as it does in `other`, or further on."""
        mine, theirs = self.tables(), other.tables()
        return (
            mine.keys() == theirs.keys()
            and all(mine[name] >= version for name, version in theirs.items())
            and self.facts.get("items", 0) >= other.facts.get("items", 0)
        )


class GateResult(BaseModel):
    """One gate's answer: `passed` is `None` where it was not asked; `value` is held to `limit`."""

    name: str
    passed: bool | None
    value: float | None = None
    limit: float | None = None
    detail: str = ""


class Verdict(BaseModel):
    """What all gates said of one release, and how well it answered, where that was measured."""

    gates: list[GateResult]
    metrics: dict[str, dict[str, float]] = {}

    @property
    def refusals(self) -> list[GateResult]:
        """The gates that refuse."""
        return [gate for gate in self.gates if gate.passed is False]

    @property
    def passed(self) -> bool:
        """Whether no gate refuses."""
        return not self.refusals

    def reason(self) -> str:
        """Name the gates that refuse, with their numbers."""
        return "; ".join(f"{gate.name}: {gate.detail}" for gate in self.refusals)

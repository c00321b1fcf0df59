"""The part of a release that a query looks at, and what an answer tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.search.asked.encoding import Probe
from pipelines.search.fusion.scores import RECENCY, Scored

if TYPE_CHECKING:
    from pipelines.search.retrieval import Retrieval


@dataclass(frozen=True)
class Look:
    """What is looked at.

    `spared` holds the probes of channels that are not asked. `domains` are those whose items are
    looked at, beside items without any; `None` for all; the best of the others scored `missed`.
    BM25 finds words in every domain.
    """

    spared: Mapping[str, Probe] = field(default_factory=dict)
    domains: tuple[str, ...] | None = None
    missed: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return not self.spared and self.domains is None


def match_of(entry: Scored) -> float:
    """Return how well an item matches: its score without what it gets for being new."""
    return entry.score - entry.channels.get(RECENCY, 0.0)


def looked_at(asked: "Retrieval") -> dict[str, Any]:
    """Write what an answer left out: channels that were `skipped`, and the `domains` it is of.

    Only domains in which the caller may see something are named; all of them is `None`.
    """
    look = asked.look or Look()
    return {
        "skipped": list(look.spared),
        "domains": None if look.domains is None else sorted(asked.reached & {*look.domains}),
    }

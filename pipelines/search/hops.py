"""Asking in several hops: what one finds, of one kind, is what the next asks with for another."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.search.asked.query import Query
from pipelines.search.engines.lance import both
from pipelines.search.engines.protocol import EVERYTHING, Allowed
from pipelines.search.fusion.profiles import BM25
from pipelines.search.fusion.scores import Scored
from pipelines.search.like import probes_of
from pipelines.search.retrieval import Retrieval
from pipelines.search.searcher import Searcher
from pipelines.tables.facts import quoted

_CARRIED = 3  # items whose vectors the next hop asks with
ENOUGH = 0.9
"""From this similarity on, no further hop is made."""


@dataclass(frozen=True)
class Hop:
    """Items of one kind, as like what was asked with as `threshold` (best cosine of a channel)."""

    kind: str
    threshold: float


HOPS = (Hop("text", 0.65), Hop("image", 0.55), Hop("video", 0.45))
"""From words over pictures to films, each time with less to go by."""


@dataclass
class Journey:
    """Where the hops led: the last answer that passed its threshold, and what each hop found."""

    answer: Retrieval | None = None
    trace: list[dict[str, Any]] = field(default_factory=list)


async def travel(
    searcher: Searcher,
    query: Query,
    hops: Sequence[Hop] = HOPS,
    enough: float = ENOUGH,
    allowed: Allowed = EVERYTHING,
    **known: Any,
) -> Journey:
    """Hop from kind to kind.

    It ends after the last hop, early once a hop finds something as like as `enough`, or where
    nothing passes a hop's threshold. A hop over a kind that has nothing above its threshold is
    skipped, so that the next is asked with what stands.
    """
    journey, given = Journey(), None
    for number, hop in enumerate(hops, start=1):
        of_kind = replace(allowed, where=both(allowed.where, f"kind = {quoted(hop.kind)}"))
        answer = await searcher.answer(query, of_kind, given=given, **known)
        alike = {entry.item_id: _similarity(answer, entry) for entry in answer.shown}
        passed = [entry for entry in answer.shown if alike[entry.item_id] >= hop.threshold]
        best = max(alike.values(), default=None)
        step = {"hop": number, "kind": hop.kind, "threshold": hop.threshold, "best": best}
        journey.trace.append(step | {"passed": len(passed), "stopped": False})
        if not passed:
            continue
        names = {entry.item_id for entry in passed}
        answer.shown = passed
        answer.results = [each for each in answer.results if each["item_id"] in names]
        journey.answer = answer
        if best is not None and best >= enough:
            journey.trace[-1]["stopped"] = True
            break
        carried = [entry.item_id for entry in passed[:_CARRIED]]
        given = await probes_of(searcher, carried, query)
    return journey


def _similarity(answer: Retrieval, entry: Scored) -> float:
    """Return the best cosine that a channel gave an item; words alone give none."""
    return max(
        (
            found[entry.item_id].value
            for name, found in answer.hits.items()
            if name != BM25 and entry.item_id in found
        ),
        default=0.0,
    )

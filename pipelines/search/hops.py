"""Asking in several hops: what one finds, of one kind, is what the next asks with for another."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.search.asked.query import Query
from pipelines.search.engines.lance import both
from pipelines.search.engines.protocol import EVERYTHING, Allowed
from pipelines.search.fusion.profiles import BM25
from pipelines.search.fusion.scores import ids_of
from pipelines.search.like import probes_of
from pipelines.search.retrieval import Retrieval, run
from pipelines.search.searcher import Searcher
from pipelines.search.stages import ASKING, RANKING, SHOWING
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
    """Where the hops led: the last one with an answer, its answer, and what each hop found."""

    hop: Hop | None = None
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

    It ends after the last hop, or early once a hop finds something as like as `enough`. A hop over
    a kind that has nothing above its threshold is skipped, so that the next is asked with what
    stands. Which way it takes does not depend on the page that is asked for.
    """
    journey, given = Journey(), None
    for number, hop in enumerate(hops, start=1):
        answer, best = await leap(searcher, query, hop, allowed, given=given, **known)
        passed = ids_of(answer.ranked)
        step = {"hop": number, "kind": hop.kind, "threshold": hop.threshold, "best": best}
        journey.trace.append(step | {"passed": len(passed), "stopped": False})
        if not passed:
            continue
        journey.hop, journey.answer = hop, answer
        if best is not None and best >= enough:
            journey.trace[-1]["stopped"] = True
            break
        given = await probes_of(searcher, passed[:_CARRIED], query)
    return journey


async def leap(
    searcher: Searcher,
    query: Query,
    hop: Hop,
    allowed: Allowed = EVERYTHING,
    **known: Any,
) -> tuple[Retrieval, float | None]:
    """Answer with the page that is asked for of what passes one hop.

    Returns the best similarity of any page too, `None` where nothing was found.
    """
    of_kind = replace(allowed, where=both(allowed.where, f"kind = {quoted(hop.kind)}"))
    asked = await searcher.answer(query, of_kind, (*ASKING, *RANKING), **known)
    alike = {item_id: _similarity(asked, item_id) for item_id in ids_of(asked.ranked)}
    asked.ranked = [each for each in asked.ranked if alike[each.item_id] >= hop.threshold]
    return await run(asked, SHOWING), max(alike.values(), default=None)


def _similarity(answer: Retrieval, item_id: str) -> float:
    """Return the best cosine that a channel gave an item; words alone give none."""
    return max(
        (
            found[item_id].value
            for name, found in answer.hits.items()
            if name != BM25 and item_id in found
        ),
        default=0.0,
    )

"""All that is measured of search on labelled queries at once, and what of it is kept."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from pipelines.outcomes import now
from pipelines.recipes import digest_json
from pipelines.search.engines.mirror import Mirror
from pipelines.search.measuring.ablation import costs, marginal
from pipelines.search.measuring.against import against
from pipelines.search.measuring.evaluation import Labelled, judge, report, serving
from pipelines.search.measuring.latency import by_asked, by_step, measure, step_times
from pipelines.search.measuring.media import across, by_found, by_modality
from pipelines.search.measuring.strategies import strategies
from pipelines.settings import Settings
from pipelines.store import Store

_NOTE = "search_measured"
_KEPT = 100


class Wanted(NamedTuple):
    """What is measured beside how good answers are; `rounds` of asking are timed, none with 0."""

    ablation: bool = False
    strategies: bool = False
    rounds: int = 0
    against: str = ""


class Measurement(BaseModel):
    """What is kept of one measurement: numbers, and which release and queries they are of."""

    at: dt.datetime
    release: str
    labelled: str
    fused: dict[str, float]
    asked: dict[str, dict[str, float | None]]
    steps: dict[str, dict[str, float | None]]


async def measured(
    store: Store, settings: Settings, queries: Sequence[Labelled], wanted: Wanted
) -> dict[str, Any]:
    """Measure the serving release; returns the `report`, with what `Wanted` names, and by media.

    Times are those of a release held in memory, as a server has it, and are kept in the home.
    Raises NotReleased before the first release, and BadInput for a query whose relevant items are
    none of the index.
    """
    searcher, allowed = await serving(store, settings)
    release = searcher.manifest
    judged = await judge(searcher, allowed, queries, within=True)
    told = report(release, judged)
    told |= {"labelled": version_of(queries), "media": by_modality(judged)}
    told |= {"found": by_found(judged), "across": across(judged)}
    if wanted.ablation:
        told["ablation"] = {"channels": marginal(judged), "costs": costs(store, release)}
    if wanted.against:
        told["against"] = await against(searcher, allowed, judged, wanted.against)
    if (wanted.strategies or wanted.rounds) and settings.mirror_bytes:
        searcher.engine = await Mirror.built(searcher.tables, settings.mirror_bytes)
    if wanted.strategies:
        told["strategies"] = await strategies(searcher, allowed, judged)
    if wanted.rounds:
        timed = await measure(searcher, allowed, queries, wanted.rounds)
        before = last(store, told["labelled"])
        rows = by_step(timed, before.steps if before else {})
        since = before.at.isoformat(timespec="seconds") if before else None
        told["latency"] = {"asked": by_asked(timed, judged), "steps": rows, "before": since}
        keep(store, told)
    return told


def version_of(queries: Sequence[Labelled]) -> str:
    """Return what tells one set of labelled queries from another."""
    return digest_json([[each.name, each.modality, dict(each.relevant)] for each in queries])[:12]


def keep(store: Store, told: dict[str, Any]) -> None:
    """Add a measurement with times to those that are kept, the newest hundred."""
    latency = told["latency"]
    kept = Measurement(
        at=now(),
        release=told["release"],
        labelled=told["labelled"],
        fused=told["fused"],
        asked={
            row["asked"]: {name: value for name, value in row.items() if name != "asked"}
            for row in latency["asked"]
        },
        steps=step_times(latency["steps"]),
    )
    rows = [*measurements(store), kept][-_KEPT:]
    store.notes.write(_NOTE, {"kept": [each.model_dump(mode="json") for each in rows]})


def measurements(store: Store) -> list[Measurement]:
    """Return what was measured and kept, oldest first."""
    return [Measurement.model_validate(each) for each in store.notes.read(_NOTE).get("kept", ())]


def last(store: Store, labelled: str) -> Measurement | None:
    """Return the last measurement on the same labelled queries."""
    same = (each for each in reversed(measurements(store)) if each.labelled == labelled)
    return next(same, None)

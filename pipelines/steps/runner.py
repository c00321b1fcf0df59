"""The one rule of every step: work on the rows whose recipe is not the one they would get now.

From it follow incremental runs, resuming after a kill, backfills and early cut-off. Work is
committed in small groups, so a killed run loses at most the group in flight.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines import outcomes
from pipelines.errors import ResidualFinding
from pipelines.recipes import digest
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import quoted

RESIDUAL = "residual"
"""Under this name a failed run tells how many items still showed private data."""


@dataclass(frozen=True)
class Input:
    """What one row (or one item's rows) should be made from.

    `attributes_hash` covers what is copied along without any work, such as filterable metadata.
    `bounds` covers limits that decide whether the work is done at all: when they change, what was
    refused is tried again, but what was done stands.
    """

    key: str
    item_id: str
    batch: str
    recipe: str
    payload: Any = field(compare=False)
    attributes_hash: str = ""
    bounds: str = ""

    @property
    def settled_by(self) -> str:
        """What an outcome of this input holds for."""
        return digest(self.recipe, self.bounds) if self.bounds else self.recipe


@dataclass(frozen=True)
class Existing:
    """What a stored row was made from."""

    recipe: str
    attributes_hash: str = ""


class Step(Protocol):
    """One kind of derived rows. `batch=None` asks about all batches."""

    name: str
    store: Store
    # Whether loading is cheap enough to do for the next group while this one is computed. Where
    # loading is the expensive part, a kill would otherwise lose two groups.
    loads_ahead: bool

    def inputs(self, batch: str | None) -> list[Input]:
        """Return what should exist, in stable order."""
        ...

    def existing(self, batch: str | None) -> dict[str, tuple[str, Existing]]:
        """Return what does exist: key to its batch and recipe."""
        ...

    def load(self, work: Input) -> Any:
        """Read and prepare one input; runs in a thread."""
        ...

    def compute(self, group: Sequence[Input], loaded: Sequence[Any]) -> Sequence[Any]:
        """Do the work for a group at once."""
        ...

    def commit(self, group: Sequence[Input], results: Sequence[Any]) -> None:
        """Write the results of a group, replacing what their keys had."""
        ...

    def refresh(self, unchanged: Sequence[Input]) -> None:
        """Rewrite only the copied attributes of rows whose recipe still holds."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Delete the rows of keys that should no longer exist."""
        ...


@dataclass
class Plan:
    """What a step has to do."""

    todo: list[Input]
    refresh: list[Input]
    stale: dict[str, str]
    inputs: list[Input]
    outcomes: dict[str, dict[str, Any]]

    @property
    def batches(self) -> set[str]:
        """Batches in which there is anything to do."""
        return {work.batch for work in (*self.todo, *self.refresh)} | set(self.stale.values())


@dataclass
class Report:
    """What a step did. `failures` holds the outcome rows that are not ok."""

    encoded: int = 0
    refreshed: int = 0
    removed: int = 0
    rows: int = 0
    seconds: float = 0.0
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def residual(self) -> list[dict[str, Any]]:
        """Outcomes of items in which private data was still found after redaction."""
        return [row for row in self.failures if row["error"] == ResidualFinding.__name__]


def plan(step: Step, batch: str | None = None) -> Plan:
    """Compare what should exist with what does."""
    inputs = step.inputs(batch)
    existing = step.existing(batch)
    where = f"step = {quoted(step.name)}" + (f" AND batch = {quoted(batch)}" if batch else "")
    known = {row["key"]: row for row in step.store.outcomes.rows(where=where)}

    def settled(work: Input) -> bool:
        row = known.get(work.key, {})
        refused = row.get("status") in {"quarantined", "skipped"}
        return refused and row["recipe"] == work.settled_by

    todo, refresh = [], []
    for work in inputs:
        _, row = existing.get(work.key, ("", None))
        if row is None or row.recipe != work.recipe:
            if not settled(work):
                todo.append(work)
        elif row.attributes_hash != work.attributes_hash:
            refresh.append(work)
    wanted = {work.key for work in inputs}
    stale = {key: place for key, (place, _) in existing.items() if key not in wanted}
    return Plan(todo, refresh, stale, inputs, known)


def run(
    step: Step,
    batch: str,
    settings: Settings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Bring one batch of a step up to date. `progress` is called with rows done and in all."""
    started = time.monotonic()
    work = plan(step, batch)
    report = Report(rows=len(work.inputs))
    if work.stale:
        step.remove(list(work.stale))
        report.removed = len(work.stale)
    if work.refresh:
        step.refresh(work.refresh)
        report.refreshed = len(work.refresh)
    done = 0
    for group, loaded, failures in _groups(step, work, settings):
        if group:
            step.commit(group, step.compute(group, loaded))
        leaked = [row["key"] for row in failures if row["error"] == ResidualFinding.__name__]
        if leaked:
            step.remove(leaked)
        outcomes.record(step.store.outcomes, step.name, failures)
        report.encoded += len(group)
        report.failures += failures
        done += len(group) + len(failures)
        progress(done, len(work.todo))
    _settle(step, work, report)
    report.seconds = time.monotonic() - started
    return report


def _groups(
    step: Step, work: Plan, settings: Settings
) -> Iterator[tuple[list[Input], list[Any], list[dict[str, Any]]]]:
    """Load ahead in threads; yield groups of what loaded, with the outcomes of what did not."""
    size = settings.group_items
    with ThreadPoolExecutor(settings.workers) as pool:
        waiting: deque[tuple[Input, Future[Any]]] = deque()
        queue = iter(work.todo)

        def fill() -> None:
            while len(waiting) < (2 * size if step.loads_ahead else size):
                following = next(queue, None)
                if following is None:
                    return
                waiting.append((following, pool.submit(step.load, following)))

        try:
            while True:
                fill()
                if not waiting:
                    return
                group: list[Input] = []
                loaded: list[Any] = []
                failures: list[dict[str, Any]] = []
                for _ in range(min(size, len(waiting))):
                    current, future = waiting.popleft()
                    if step.loads_ahead:
                        fill()
                    try:
                        loaded.append(future.result())
                        group.append(current)
                    except Exception as error:
                        failures.append(_failure(step, current, error, work.outcomes))
                yield group, loaded, failures
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _failure(
    step: Step, work: Input, error: Exception, known: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    status, reason = outcomes.classify(error)
    before = known.get(work.key)
    again = before is not None and before["recipe"] == work.settled_by
    return outcomes.outcome(
        work.key,
        step.name,
        status,
        work.settled_by,
        item_id=work.item_id,
        batch=work.batch,
        error=type(error).__name__,
        reason=reason,
        attempts=before["attempts"] + 1 if again and before else 1,
    )


def _settle(step: Step, work: Plan, report: Report) -> None:
    """Note every other input as ok, and forget the outcomes of inputs that are gone."""
    failed = {row["key"] for row in report.failures}
    news = []
    for entry in work.inputs:
        before = work.outcomes.get(entry.key)
        same = before is not None and before["recipe"] == entry.settled_by
        settled = same and before is not None and before["status"] in outcomes.SETTLED
        if entry.key not in failed and not settled:
            news.append(
                outcomes.outcome(
                    entry.key,
                    step.name,
                    "ok",
                    entry.settled_by,
                    item_id=entry.item_id,
                    batch=entry.batch,
                )
            )
    outcomes.record(step.store.outcomes, step.name, news)
    gone = work.outcomes.keys() - {entry.key for entry in work.inputs}
    outcomes.forget(step.store.outcomes, step.name, gone)

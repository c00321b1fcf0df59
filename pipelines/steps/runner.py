"""The one rule of every step: work on the rows whose recipe is not the one they would get now.

From it follow incremental runs, resuming after a kill, backfills and early cut-off. Work is
committed in small groups, so a killed run loses at most the group in flight. What is compared are
columns, not objects, so that a million rows are planned in seconds.
"""

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import outcomes
from pipelines.errors import MediadexError, ResidualFinding
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import equals_any, quoted

RESIDUAL = "residual"
"""Under this name a failed run tells how many items still showed private data."""

WANTED = pa.schema(
    [
        ("key", pa.string()),
        ("item_id", pa.string()),
        ("batch", pa.string()),
        ("recipe", pa.string()),
        ("attributes_hash", pa.string()),
    ]
)
"""What should exist. `attributes_hash` covers what is copied along without any work."""

EXISTING = pa.schema([field for field in WANTED if field.name != "item_id"])
"""What does exist."""


@dataclass(frozen=True)
class Input:
    """One row (or one item's rows) to be made, and what it is made from."""

    key: str
    item_id: str
    batch: str
    recipe: str
    payload: Any = field(compare=False)
    attributes_hash: str = ""


class Step(Protocol):
    """One kind of derived rows. `batches=None` asks about all batches."""

    name: str
    store: Store
    # Whether loading is cheap enough to do for the next group while this one is computed. Where
    # loading is the expensive part, a kill would otherwise lose two groups.
    loads_ahead: bool
    # How many rows are committed together at most, where these are large; None leaves it to the
    # settings.
    together: int | None
    # Whether its model works on a GPU where there is one.
    accelerated: bool
    # Limits that decide whether work is done at all: when they change, what was refused is tried
    # again, but what was done stands.
    bounds: str

    @property
    def version(self) -> str:
        """What recipes begin with (see `pipelines.versions`)."""
        ...

    @property
    def model(self) -> str:
        """Key of the model that does the work, empty where there is none."""
        ...

    def state(self) -> Any:
        """Return what moves with every change of its rows, where these are not in Delta tables."""
        ...

    def wanted(self, batches: Collection[str] | None) -> pa.Table:
        """Return what should exist (`WANTED`)."""
        ...

    def existing(self, batches: Collection[str] | None) -> pa.Table:
        """Return what does exist (`EXISTING`)."""
        ...

    def fetch(self, batch: str, rows: Mapping[str, str]) -> dict[str, Any]:
        """Return what rows of a batch are made from, by key; given are keys and their items."""
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
    """What a step has to do: rows to make, rows to copy attributes to, rows to delete.

    `waiting` counts rows that failed and are not due yet or were given up; `refused` those that
    cannot be made. `next_try` is when the first of the waiting becomes due. `noted` holds the
    outcomes on record, `settled` the keys among them whose rows are there by now, `gone` those
    whose input is not there any more.
    """

    todo: pa.Table
    refresh: pa.Table
    stale: pa.Table
    rows: int
    waiting: int
    refused: int
    next_try: dt.datetime | None
    noted: dict[str, dict[str, Any]]
    settled: set[str]
    gone: list[dict[str, Any]]

    @property
    def batches(self) -> set[str]:
        """Batches in which there is anything to do."""
        tables = (self.todo, self.refresh, self.stale)
        ended = {self.noted[key]["batch"] for key in self.settled}
        ended |= {row["batch"] for row in self.gone}
        return ended.union(*(pc.unique(table["batch"]).to_pylist() for table in tables))


@dataclass
class Report:
    """What a step did. `failures` holds the outcome rows of this run that are not ok.

    `media_s` is how long the sound and film that was worked on lasts, in seconds.
    """

    encoded: int = 0
    refreshed: int = 0
    removed: int = 0
    rows: int = 0
    waiting: int = 0
    refused: int = 0
    seconds: float = 0.0
    characters: int = 0
    media_s: float = 0.0
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def residual(self) -> list[dict[str, Any]]:
        """Outcomes of items in which private data was still found after redaction."""
        return [row for row in self.failures if row["error"] == ResidualFinding.__name__]


def within(batches: Collection[str] | None, column: str = "batch") -> str:
    """Return the SQL condition for rows of some batches, or of all."""
    return "true" if batches is None else equals_any(column, batches)


def plan(step: Step, batches: Collection[str] | None = None, *, redo: bool = False) -> Plan:
    """Compare what should exist with what does. With `redo`, what failed is due at once."""
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(step.existing, batches)
        wanted, existing = step.wanted(batches), reading.result()
    current = _among(wanted, existing, "recipe", "attributes_hash")
    rest = wanted.filter(pc.invert(current))
    # Keys are unique, so that with as many rows as there are current ones none is left over.
    left = len(existing) - (len(wanted) - len(rest))
    older = existing.filter(_is_in(existing["key"], rest["key"])) if left else existing.slice(0, 0)
    made = _among(rest, older, "recipe")
    todo, refresh = rest.filter(pc.invert(made)), rest.filter(made)
    stale = existing.slice(0, 0)
    if left > len(older):
        stale = existing.filter(pc.invert(_is_in(existing["key"], wanted["key"])))
    where = f"step = {quoted(step.name)} AND {within(batches)}"
    noted = {row["key"]: row for row in step.store.outcomes.rows(where=where)}
    settled, gone = _ended(wanted, todo, noted)
    held, refused, next_try = _held(step, todo, noted, redo)
    if held:
        todo = todo.filter(pc.invert(_is_in(todo["key"], pa.array(sorted(held), pa.string()))))
    return Plan(
        todo=todo,
        refresh=refresh,
        stale=stale,
        rows=len(wanted),
        waiting=len(held) - refused,
        refused=refused,
        next_try=next_try,
        noted=noted,
        settled=settled,
        gone=gone,
    )


def _among(wanted: pa.Table, existing: pa.Table, *columns: str) -> pa.ChunkedArray:
    """Mark the wanted rows that exist with the same values of some columns."""
    names = ("key", *columns)
    return _is_in(_joined(wanted, names), _joined(existing, names))


def _joined(table: pa.Table, names: Sequence[str]) -> Any:
    # A key may hold any character but this one.
    return pc.binary_join_element_wise(*(table[name] for name in names), "\x1f")


def _is_in(values: Any, among: Any) -> Any:
    chunks = among.combine_chunks() if isinstance(among, pa.ChunkedArray) else among
    return pc.is_in(values, value_set=chunks)


def _held(
    step: Step, todo: pa.Table, noted: Mapping[str, Mapping[str, Any]], redo: bool
) -> tuple[set[str], int, dt.datetime | None]:
    """Return the keys that are not to be tried now, how many are refused, and the next due time."""
    if not noted:
        return set(), 0, None
    rows = todo.filter(_is_in(todo["key"], pa.array(list(noted), pa.string()))).to_pylist()
    moment = outcomes.now()
    held, refused, times = set(), 0, []
    for row in rows:
        before = noted[row["key"]]
        again = redo and before["status"] == "failed"
        if again or outcomes.is_due(before, _settled_by(step, row["recipe"]), moment):
            continue
        held.add(row["key"])
        refused += before["status"] in outcomes.REFUSED
        if before["next_try"]:
            times.append(before["next_try"])
    return held, refused, min(times, default=None)


def _ended(
    wanted: pa.Table, unmade: pa.Table, noted: Mapping[str, dict[str, Any]]
) -> tuple[set[str], list[dict[str, Any]]]:
    """Return the noted keys whose rows were made since, and the outcomes without an input."""
    if not noted:
        return set(), []
    keys = pa.array(list(noted), pa.string())
    known = set(wanted.filter(_is_in(wanted["key"], keys))["key"].to_pylist())
    open_ = set(unmade.filter(_is_in(unmade["key"], keys))["key"].to_pylist())
    gone = [
        row
        for key, row in noted.items()
        if key not in known and row["status"] != outcomes.SUPERSEDED
    ]
    return known - open_, gone


def _settled_by(step: Step, recipe: str) -> str:
    """Return what an outcome holds for: the recipe, and the limits in force."""
    return f"{recipe}~{step.bounds}" if step.bounds else recipe


def run(
    step: Step,
    batch: str,
    settings: Settings,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    redo: bool = False,
) -> Report:
    """Bring one batch of a step up to date. `progress` is called with rows done and in all."""
    with step.store.lock.shared():
        work = plan(step, [batch], redo=redo)
        report = Report(rows=work.rows, waiting=work.waiting, refused=work.refused)
        if len(work.stale):
            step.remove(work.stale["key"].to_pylist())
            report.removed = len(work.stale)
        if len(work.refresh):
            step.refresh(inputs_of(step, batch, work.refresh))
            report.refreshed = len(work.refresh)
        made = _work(step, batch, work, settings, report, progress) if len(work.todo) else set()
        _settle(step, work, made)
    return report


def inputs_of(step: Step, batch: str, rows: pa.Table) -> list[Input]:
    """Return rows of one batch with what they are made from, ordered by key."""
    listed = sorted(rows.to_pylist(), key=lambda row: row["key"])
    payloads = step.fetch(batch, {row["key"]: row["item_id"] for row in listed})
    return [Input(payload=payloads[row["key"]], **row) for row in listed if row["key"] in payloads]


def _work(
    step: Step,
    batch: str,
    work: Plan,
    settings: Settings,
    report: Report,
    progress: Callable[[int, int], None],
) -> set[str]:
    """Make the rows that are to be made, group by group; return the keys of those that were."""
    started = time.monotonic()
    todo = inputs_of(step, batch, work.todo)
    keys: set[str] = set()
    done = 0
    for group, loaded, errors in _groups(step, todo, settings):
        made, results, broken = _compute(step, group, loaded)
        failures = [_failure(step, *each, work.noted, settings) for each in (*errors, *broken)]
        if made:
            step.commit(made, results)
        leaked = [row["key"] for row in failures if row["error"] == ResidualFinding.__name__]
        if leaked:
            step.remove(leaked)
        outcomes.record(step.store.outcomes, step.name, failures)
        keys.update(entry.key for entry in made)
        report.encoded += len(made)
        report.characters += sum(len(each) for each in loaded if isinstance(each, str))
        report.media_s += sum(getattr(each, "media_s", 0.0) for each in loaded)
        report.failures += failures
        done += len(made) + len(failures)
        progress(done, len(todo))
    report.seconds = time.monotonic() - started
    return keys


def _groups(
    step: Step, todo: Sequence[Input], settings: Settings
) -> Iterator[tuple[list[Input], list[Any], list[tuple[Input, Exception]]]]:
    """Load ahead in threads; yield groups of what loaded, with the errors of what did not."""
    size = min(settings.group_items, step.together or settings.group_items)
    with ThreadPoolExecutor(settings.workers) as pool:
        waiting: deque[tuple[Input, Future[Any]]] = deque()
        queue = iter(todo)

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
                errors: list[tuple[Input, Exception]] = []
                for _ in range(min(size, len(waiting))):
                    current, future = waiting.popleft()
                    if step.loads_ahead:
                        fill()
                    try:
                        loaded.append(future.result())
                        group.append(current)
                    except Exception as error:
                        errors.append((current, error))
                yield group, loaded, errors
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _compute(
    step: Step, group: list[Input], loaded: list[Any]
) -> tuple[list[Input], Sequence[Any], list[tuple[Input, Exception]]]:
    """Compute a group; where that fails, one by one, so that one bad row does not take others.

    Raises when not a single row of several can be computed: then it is not the rows.
    """
    if not group:
        return [], [], []
    try:
        return group, step.compute(group, loaded), []
    except MediadexError:
        raise
    except Exception as error:
        if len(group) == 1:
            return [], [], [(group[0], error)]
    made: list[Input] = []
    results: list[Any] = []
    broken: list[tuple[Input, Exception]] = []
    for work, content in zip(group, loaded, strict=True):
        try:
            results.append(step.compute([work], [content])[0])
            made.append(work)
        except Exception as error:
            broken.append((work, error))
    if not made:
        raise broken[0][1]
    return made, results, broken


def _failure(
    step: Step,
    work: Input,
    error: Exception,
    noted: Mapping[str, Mapping[str, Any]],
    settings: Settings,
) -> dict[str, Any]:
    told = outcomes.failure(
        error,
        _settled_by(step, work.recipe),
        noted.get(work.key),
        settings.retry_budget,
        settings.retry_delay_s,
    )
    return outcomes.outcome(work.key, step.name, item_id=work.item_id, batch=work.batch, **told)


def _settle(step: Step, work: Plan, made: Collection[str]) -> None:
    """Forget the outcomes of rows that are there now; mark those whose input is gone."""
    ended = work.settled | (work.noted.keys() & made)
    outcomes.forget(step.store.outcomes, step.name, ended)
    outcomes.record(step.store.outcomes, step.name, [*map(outcomes.superseded, work.gone)])

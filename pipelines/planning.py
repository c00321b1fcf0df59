"""Saying what a backfill will take before it starts, and afterwards what it took.

Rows that are to be made now are counted. Rows that will follow from work upstream are not known
yet; they are expected from how many rows such items have had so far.
"""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

import pyarrow.compute as pc

from pipelines import costs
from pipelines.channels import CHANNELS
from pipelines.costs import Rate
from pipelines.errors import MediadexError
from pipelines.models import factory
from pipelines.models.suite import ModelSuite
from pipelines.outcomes import now
from pipelines.pipeline import STEPS, build_step, in_order, upstream
from pipelines.settings import Settings
from pipelines.steps.embed import EmbedStep
from pipelines.steps.runner import Plan, Step, inputs_of, plan
from pipelines.store import Store
from pipelines.tables.facts import quoted

_SAMPLE = 4


@dataclass(frozen=True)
class Scope:
    """What is asked about: steps, batches (`None`: all), and encoders other than those set."""

    steps: tuple[str, ...]
    batches: tuple[str, ...] | None
    encoders: dict[str, str]


@dataclass(frozen=True)
class Estimate:
    """What one step will take. `None` stands for what is not known or not priced, never 0."""

    step: str
    rows: int
    expected: int
    copied: int
    removed: int
    waiting: int
    rate: str
    seconds: float | None
    gpu_seconds: float | None
    money: float | None


def scope(
    store: Store, channel: str | None = None, span: str | None = None, encoder: str | None = None
) -> Scope:
    """Read what a user asks for: a channel, a span of batches `A..B` (or one), an encoder's spec.

    An encoder without a channel stands for all channels of its kind. Raises MediadexError for what
    does not exist.
    """
    if channel is not None and channel not in CHANNELS:
        raise MediadexError(f"there is no channel {channel!r}; there are {', '.join(CHANNELS)}")
    names = [channel] if channel else list(CHANNELS)
    steps = STEPS if channel is None else (EmbedStep.name_of(CHANNELS[channel]),)
    encoders = {}
    if encoder is not None:
        if channel is None:
            kinds = factory.kinds(encoder)
            names = [name for name in names if CHANNELS[name].encoder in kinds]
        encoders = dict.fromkeys(names, encoder)
        steps = tuple(EmbedStep.name_of(CHANNELS[name]) for name in names)
    return Scope(tuple(steps), _span(store, span) if span else None, encoders)


def _span(store: Store, span: str) -> tuple[str, ...]:
    known = in_order(set(store.items.read(["batch"])["batch"].unique().to_pylist()))
    first, _, last = span.partition("..")
    ends = [name for name in (first or None, last or None) if name]
    if unknown := [name for name in ends if name not in known]:
        raise MediadexError(
            f"there is no batch {unknown[0]!r}; they go from {known[0]} to {known[-1]}"
            if known
            else "there are no batches yet; run `mediadex index FOLDER` first"
        )
    start = known.index(first) if first else 0
    end = known.index(last) if last else (len(known) - 1 if ".." in span else start)
    return tuple(known[start : end + 1])


def estimate(store: Store, models: ModelSuite, settings: Settings, what: Scope) -> list[Estimate]:
    """Return what every step in scope would do now, and what that would take.

    Rates come from measured work with the same model; a step that has never worked with it is
    tried on a few of its rows, which are not kept.
    """
    chosen = models.with_encoders(what.encoders)
    plans = {
        name: (step := build_step(name, store, chosen, settings), plan(step, what.batches))
        for name in what.steps
    }
    found = []
    for name, (step, work) in plans.items():
        above = [plans[other][1] for other in upstream(name) if other in plans]
        found.append(_estimated(store, settings, step, work, _expected(step, work, above)))
    return found


def _expected(step: Step, work: Plan, upstream: Sequence[Plan]) -> int:
    """Guess the rows that will follow for items that are still being worked on upstream."""
    ahead: set[str] = set()
    for above in upstream:
        ahead |= set(above.todo["item_id"].to_pylist())
    ahead -= set(work.todo["item_id"].to_pylist())
    if not ahead:
        return 0
    wanted = step.wanted(None)
    items = pc.count_distinct(wanted["item_id"]).as_py()
    each = len(wanted) / items if items else 1.0
    return round(len(ahead) * each)


def _estimated(store: Store, settings: Settings, step: Step, work: Plan, expected: int) -> Estimate:
    rows = len(work.todo)
    rate, source = costs.measured(store, step), "measured"
    if rate is None and rows:
        rate, source = _tried(step, work, settings), "tried"
    seconds = price = gpu = None
    told = "not measured yet"
    if rows + expected == 0:
        seconds, told = 0.0, "nothing to do"
    elif rate is not None:
        seconds = (rows + expected) * rate.seconds
        gpu = seconds * max(settings.gpus, 1) if rate.device == "cuda" else None
        told = f"{1 / rate.seconds:.1f} a second on {rate.device}, {source} over {rate.rows}"
        price = costs.money(
            settings.prices, step.name, rate.device, seconds, rows + expected, rate.characters
        )
    return Estimate(
        step=step.name,
        rows=rows,
        expected=expected,
        copied=len(work.refresh),
        removed=len(work.stale),
        waiting=work.waiting,
        rate=told,
        seconds=seconds,
        gpu_seconds=gpu,
        money=price,
    )


def _tried(step: Step, work: Plan, settings: Settings) -> Rate | None:
    """Do a few rows for the clock only; the first of them pays for loading the model."""
    batch = work.todo["batch"][0].as_py()
    sample = inputs_of(step, batch, work.todo.filter(pc.equal(work.todo["batch"], batch)))
    with ThreadPoolExecutor(settings.workers) as pool:
        done = 0
        characters = 0
        seconds = 0.0
        for group in (sample[:1], sample[:_SAMPLE]):
            started = monotonic()
            try:
                loaded = [*pool.map(step.load, group)]
                step.compute(group, loaded)
            except Exception:  # what is wrong with these rows is told when they are really made
                return None
            seconds, done = monotonic() - started, len(group)
            characters = sum(len(each) for each in loaded if isinstance(each, str))
    return Rate(seconds / done, characters / done, done, costs.device_of(step))


def total(steps: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Add up one number of several estimates; `None` when one that has work does not know it."""
    values = [step[key] for step in steps if step["rows"] + step["expected"]]
    return None if None in values else float(sum(values))


def save(store: Store, what: Scope, estimates: Sequence[Estimate]) -> str:
    """Write an estimate down, to be compared with what the work takes; returns its name."""
    name = f"p{uuid.uuid4().hex[:8]}"
    row = {
        "plan": name,
        "scope": json.dumps(asdict(what)),
        "estimate": json.dumps([asdict(each) for each in estimates]),
        "created_at": now(),
    }
    store.plans.append([row])
    return name


def compare(store: Store, name: str | None = None) -> dict[str, Any]:
    """Return a saved plan (the newest unless named) with what its work has taken since.

    Raises MediadexError when there is no such plan.
    """
    rows = store.plans.rows(where=f"plan = {quoted(name)}" if name else None)
    if not rows:
        raise MediadexError("there is no such plan; `mediadex plan` makes one")
    row = max(rows, key=lambda each: each["created_at"])
    what = json.loads(row["scope"])
    done = store.costs.rows(where=f"at >= TIMESTAMP {quoted(row['created_at'].isoformat())}")
    return {
        "plan": row["plan"],
        "created_at": row["created_at"].isoformat(),
        "scope": what,
        "steps": [
            each | _actual(each["step"], what["batches"], done)
            for each in json.loads(row["estimate"])
        ],
    }


def _actual(
    step: str, batches: Collection[str] | None, done: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    mine = [
        row for row in done if row["step"] == step and (batches is None or row["batch"] in batches)
    ]
    return {
        "rows_done": sum(row["rows"] for row in mine),
        "seconds_taken": sum(row["seconds"] for row in mine) if mine else None,
    }

"""What work takes: rows and seconds of every step as measured, and the money these come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.models.hub import pick_device
from pipelines.outcomes import now
from pipelines.settings import Prices
from pipelines.steps.runner import Report, Step
from pipelines.store import Store
from pipelines.tables.facts import quoted

_RECENT = 50
_CHARACTERS_PER_TOKEN = 4.0


@dataclass(frozen=True)
class Rate:
    """Seconds and characters a row, as measured over so many rows on a device."""

    seconds: float
    characters: float
    rows: int
    device: str


def device_of(step: Step) -> str:
    """Return where a step's model works: "cuda" or "cpu"."""
    return pick_device() if step.accelerated else "cpu"


def entry(step: Step, batch: str, report: Report) -> dict[str, Any]:
    """Describe what one batch took, as a row of the table of costs."""
    return {
        "step": step.name,
        "batch": batch,
        "model": step.model,
        "device": device_of(step),
        "rows": report.encoded,
        "characters": report.characters,
        "seconds": report.seconds,
        "at": now(),
    }


def measured(store: Store, step: Step) -> Rate | None:
    """Return the rate of a step with its present model over its recent work, if there was any."""
    where = f"step = {quoted(step.name)} AND model = {quoted(step.model)} AND rows > 0"
    rows = store.costs.rows(where=where)
    return rate(sorted(rows, key=lambda row: row["at"])[-_RECENT:])


def rate(rows: Sequence[Mapping[str, Any]]) -> Rate | None:
    """Average rows of the table of costs; `None` where nothing was done."""
    done = sum(row["rows"] for row in rows)
    if not done:
        return None
    return Rate(
        sum(row["seconds"] for row in rows) / done,
        sum(row["characters"] for row in rows) / done,
        done,
        rows[-1]["device"],
    )


def money(
    prices: Prices, step: str, device: str, seconds: float, rows: int, characters: float
) -> float | None:
    """Price work: machine hours by device, plus tokens where the step is priced by them.

    `None` where the price table says nothing about either.
    """
    hourly = prices.gpu_hour if device == "cuda" else prices.cpu_hour
    per_token = prices.per_1000_tokens.get(step)
    if hourly is None and per_token is None:
        return None
    machine = (hourly or 0.0) * seconds / 3600
    return machine + forecast(rows, characters / _CHARACTERS_PER_TOKEN, per_token or 0.0)


def forecast(volume: float, tokens: float, price: float) -> float:
    """Return what embedding `volume` inputs of `tokens` each costs at a price per 1000 tokens."""
    return volume * tokens / 1000 * price

"""How vectors are indexed: a sweep over the serving release, whose choices the next one takes."""

import base64
from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from assets.common import OWNERS
from pipelines.errors import BadInput
from pipelines.releases.log import require
from pipelines.search.measuring.bench import Point
from pipelines.search.measuring.logged import logged_vectors
from pipelines.search.measuring.pareto import draw
from pipelines.search.measuring.tuning import Limits, Sweep, tune
from resources.home import HomeResource

_TAKEN = Limits._field_defaults
_POINT = {
    "index": "string",
    "params": "string",
    "nprobes": "int",
    "refine": "int",
    "recall": "float",
    "p50_ms": "float",
    "p95_ms": "float",
    "p99_ms": "float",
    "recall_10": "float",
    "rows_10": "int",
    "recall_1": "float",
    "rows_1": "int",
    "build_s": "float",
    "bytes": "int",
}


class TuningConfig(dg.Config):
    """What is measured, and what that may take."""

    channels: list[str] = Field([], description="Only these channels; empty: all.")
    rows: int = Field(0, description="Channels of at least so many rows; 0: setting index_rows.")
    sample: int = Field(_TAKEN["sample"], description="Rows of a channel that are measured.")
    seconds: float = Field(_TAKEN["seconds"], description="When building indexes ends, a channel.")
    queries: int = Field(_TAKEN["queries"], description="Half of them choose.")


@dg.asset(
    group_name="publish",
    kinds={"lancedb"},
    owners=OWNERS,
    deps=["release"],
    code_version="1",
    description="Vector indexes measured on a copy of what serves: recall@10 against an exact "
    "scan, latency, size, also under filters. The next release takes the fastest that finds "
    "enough. Launched by hand: it measures best while nothing else runs.",
)
def index_tuning(home: HomeResource, config: TuningConfig) -> dg.MaterializeResult:
    """Sweep, choose, record, and show what was measured."""
    store, settings = home.store(), home.settings()
    manifest = require(store)
    if unknown := set(config.channels) - manifest.channels.keys():
        raise BadInput(
            f"{manifest.release} has no channel {', '.join(sorted(unknown))}; "
            f"it has {', '.join(manifest.channels)}"
        )
    channels = {
        name: version
        for name, version in manifest.channels.items()
        if not config.channels or name in config.channels
    }
    rows = config.rows or settings.index_rows
    limits = Limits(rows, config.sample, config.seconds, config.queries)
    sweeps = tune(store, channels, limits, logged_vectors(store, manifest))
    return dg.MaterializeResult(metadata=_metadata(sweeps, rows))


def _metadata(sweeps: Sequence[Sweep], rows: int) -> dict[str, Any]:
    if not sweeps:
        told = f"No channel has {rows} rows, from which an index is worth it."
        return {"channels": 0, "pareto": dg.MetadataValue.md(told)}
    return {
        "channels": len(sweeps),
        **{f"recall_{each.channel}": round(each.held_out.recall, 4) for each in sweeps},
        **{f"p99_ms_{each.channel}": round(each.held_out.p99_ms, 3) for each in sweeps},
        "pareto": dg.MetadataValue.md(_picture(sweeps)),
        "chosen": _table([(each.channel, each.held_out) for each in sweeps]),
        "sweep": _table([(each.channel, point) for each in sweeps for point in each.points]),
    }


def _picture(sweeps: Sequence[Sweep]) -> str:
    lines = [
        f"- **{each.channel}**: {each.measured} of {each.rows} rows; {each.queries // 2} queries "
        f"chose, {each.queries - each.queries // 2} others tell how good the choice is; "
        + {"logged": "people asked them", "rows": "made of rows, by noise"}[each.source]
        + (f"; {len(each.skipped)} indexes were left out for lack of time" if each.skipped else "")
        for each in sweeps
    ]
    picture = base64.b64encode(draw(sweeps)).decode()
    listed = "\n".join(lines)
    return f"![recall over latency](data:image/png;base64,{picture})\n\n{listed}"


def _table(points: Sequence[tuple[str, Point]]) -> dg.MetadataValue:
    columns = {"channel": "string", **_POINT}
    return dg.MetadataValue.table(
        [dg.TableRecord({"channel": name, **_shown(point)}) for name, point in points],
        schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()]),
    )


def _shown(point: Point) -> dict[str, Any]:
    values = point.model_dump() | {
        "params": ", ".join(f"{name} {value}" for name, value in point.params.items())
    }
    return {
        name: round(values[name], 4) if isinstance(values[name], float) else values[name]
        for name in _POINT
    }

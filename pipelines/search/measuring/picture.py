"""The picture of a measurement: the time of each step beside how good answers are by medium."""

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from pipelines.search.measuring.latency import stages

_SHADES = 64
_BLUE, _PALE, _RED, _GREEN = "#1f77b4", "#aec7e8", "#c2183a", "#2ca02c"
_LEAST_MS = 0.01


def draw(told: Mapping[str, Any]) -> bytes:
    """Draw what `measured` returned, with latency, as PNG.

    At the left the p50 and p95 of each stage, with its budget; at the right nDCG@10 by what is to
    be found, and across media.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.2), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    _stages(left, stages(told["latency"]["steps"]))
    _quality(right, told)
    return as_png(figure)


def as_png(figure: Any) -> bytes:
    """Return a figure as a small PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn, small = io.BytesIO(), io.BytesIO()
    FigureCanvasAgg(figure).print_png(drawn)
    Image.open(drawn).convert("RGB").quantize(_SHADES).save(small, "PNG", optimize=True)
    return small.getvalue()


def _stages(panel: Any, rows: list[Mapping[str, Any]]) -> None:
    for place, row in enumerate(rows):
        for name, colour in (("p95", _PALE), ("p50", _BLUE)):
            if row[name] is not None:
                panel.barh(place, max(row[name], _LEAST_MS), 0.6, color=colour)
        if row["budget"] is not None:
            panel.plot([row["budget"]] * 2, [place - 0.4, place + 0.4], color=_RED, lw=2)
    panel.set_yticks(range(len(rows)), [row["stage"] for row in rows])
    panel.invert_yaxis()
    panel.set_xscale("log")
    panel.set_xlim(left=_LEAST_MS)
    panel.set_xlabel("ms: p50 dark, p95 pale, budget red")
    panel.grid(axis="x", alpha=0.3, lw=0.5)


def _quality(panel: Any, told: Mapping[str, Any]) -> None:
    bars = {f"find {name}": row["ndcg@10"] for name, row in told["found"].items()}
    bars |= {f"{row['asked']} → {row['found']}": row["ndcg@10"] for row in told["across"]}
    known = {name: value for name, value in bars.items() if value is not None}
    colours = [_BLUE if name.startswith("find ") else _GREEN for name in known]
    panel.barh(range(len(known)), list(known.values()), 0.6, color=colours)
    panel.set_yticks(range(len(known)), list(known))
    panel.invert_yaxis()
    panel.set_xlim(0, 1)
    panel.set_xlabel("nDCG@10: among all items blue, among those of the medium green")
    panel.grid(axis="x", alpha=0.3, lw=0.5)

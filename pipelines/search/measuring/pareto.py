"""The picture of a sweep: recall against latency, a panel a channel."""

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from pipelines.search.measuring.bench import TARGET
from pipelines.search.measuring.choosing import front, is_good
from pipelines.search.measuring.tuning import Sweep

_COLUMNS = 3
_COLOURS = {
    "exact": "#444444",
    "ivf_rq": "#1f77b4",
    "ivf_sq": "#2ca02c",
    "ivf_pq": "#9467bd",
    "hnsw_sq": "#ff7f0e",
}
_FLOOR = 0.8
_SHADES = 64


def draw(sweeps: Sequence[Sweep]) -> bytes:
    """Draw recall@10 over p99 for every point of each sweep, as PNG.

    The front is a line, the chosen point a ring. Points that find too little, also of what a filter
    leaves, are hollow.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(sweeps), _COLUMNS)
    rows = -(-len(sweeps) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.5 * rows + 0.4), dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for panel, sweep in zip(panels, sweeps, strict=False):
        _panel(panel, sweep)
    for panel in list(figure.axes)[len(sweeps) :]:
        panel.remove()
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    drawn = io.BytesIO()
    FigureCanvasAgg(figure).print_png(drawn)
    small = io.BytesIO()
    Image.open(drawn).convert("RGB").quantize(_SHADES).save(small, "PNG", optimize=True)
    return small.getvalue()


def _panel(panel: Any, sweep: Sweep) -> None:
    floor = max(min(point.recall for point in sweep.points), _FLOOR)
    for point in sweep.points:
        colour = _COLOURS[point.index]
        face = colour if is_good(point) else "none"
        marker = "o" if point.recall >= floor else "v"
        height = max(point.recall, floor)
        panel.plot(point.p99_ms, height, marker, color=colour, mfc=face, ms=5, clip_on=False)
    best = [point for point in front(sweep.points) if point.recall >= floor]
    panel.plot([p.p99_ms for p in best], [p.recall for p in best], color="#999999", lw=1, zorder=1)
    chosen = sweep.chosen
    panel.plot(chosen.p99_ms, chosen.recall, "o", color="crimson", mfc="none", ms=13, mew=2)
    panel.axhline(TARGET, color="crimson", lw=0.8, ls="--", zorder=0)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    panel.xaxis.set_minor_formatter(lambda value, _: "")
    panel.set_ylim(min(floor, TARGET) - 0.01, 1.008)
    panel.set_xlabel("p99, ms")
    panel.set_ylabel("recall@10")
    panel.grid(alpha=0.25, which="both", lw=0.5)
    asked = "" if chosen.index == "exact" else f" nprobes {chosen.nprobes}, refine {chosen.refine}"
    panel.set_title(f"{sweep.channel}: {sweep.measured:,} rows\n{chosen.index}{asked}", fontsize=10)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(label: str, **how: Any) -> Any:
        return Line2D([], [], **{"ls": "none", "marker": "o", "ms": 5, **how}, label=label)

    return [
        *(mark(kind, color=colour) for kind, colour in _COLOURS.items()),
        mark("finds too little", color="#444444", mfc="none"),
        mark("chosen", color="crimson", mfc="none", ms=10, mew=2),
        mark(f"front; dashed: {TARGET:g}", marker="", ls="-", color="#999999"),
    ]

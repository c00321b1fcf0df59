"""The picture of a sweep: recall over latency, a panel a channel."""

from collections.abc import Sequence
from typing import Any

from pipelines.search.measuring.bench import TARGET
from pipelines.search.measuring.choosing import front, is_good
from pipelines.search.measuring.picture import as_png
from pipelines.search.measuring.tuning import Sweep

_COLUMNS = 3
_COLOURS = {
    "exact": "#444444",
    "ivf_rq": "#1f77b4",
    "ivf_sq": "#2ca02c",
    "ivf_pq": "#9467bd",
    "hnsw_sq": "#ff7f0e",
}
_RED = "#c2183a"
_FLOOR = 0.8


def draw(sweeps: Sequence[Sweep]) -> bytes:
    """Draw recall@10 over p99 for every point of each sweep, as PNG.

    Recall is the worst of all rows and of what filters leave. The front is a line, the chosen point
    a ring; points that find too little are hollow, and triangles where they are below the panel.
    """
    from matplotlib.figure import Figure

    columns = min(len(sweeps), _COLUMNS)
    rows = -(-len(sweeps) // columns)
    size = (max(4.6 * columns, 6.4), 3.5 * rows + 0.6)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for panel, sweep in zip(panels, sweeps, strict=False):
        _panel(panel, sweep)
    for panel in list(figure.axes)[len(sweeps) :]:
        panel.remove()
    figure.legend(handles=_legend(), loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return as_png(figure)


def _panel(panel: Any, sweep: Sweep) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    floor = max(min(point.worst for point in sweep.points), _FLOOR)
    for point in sweep.points:
        colour = _COLOURS[point.index]
        face = colour if is_good(point) else "none"
        marker = "o" if point.worst >= floor else "v"
        height = max(point.worst, floor)
        panel.plot(point.p99_ms, height, marker, color=colour, mfc=face, ms=5, zorder=3)
    best = [point for point in front(sweep.points) if point.worst >= floor]
    panel.plot([each.p99_ms for each in best], [each.worst for each in best], color="#888888", lw=1)
    chosen = sweep.chosen
    panel.plot(chosen.p99_ms, chosen.worst, "o", color=_RED, mfc="none", ms=13, mew=2, zorder=4)
    panel.axhline(TARGET, color=_RED, lw=0.8, ls="--", zorder=0)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_ylim(min(floor, TARGET) - 0.01, 1.01)
    panel.set_xlabel("p99, ms")
    panel.set_ylabel("recall@10, worst of all, 10 %, 1 %", fontsize=8)
    panel.grid(alpha=0.3, lw=0.5)
    asked = "" if chosen.index == "exact" else f", nprobes {chosen.nprobes}, refine {chosen.refine}"
    panel.set_title(f"{sweep.channel}, {sweep.measured:,} rows\n{chosen.index}{asked}", fontsize=10)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(label: str, **how: Any) -> Any:
        return Line2D([], [], **{"ls": "none", "marker": "o", "ms": 5, **how}, label=label)

    return [
        *(mark(kind, color=colour) for kind, colour in _COLOURS.items()),
        mark("finds too little", color="#444444", mfc="none"),
        mark("chosen", color=_RED, mfc="none", ms=10, mew=2),
        mark("front", marker="", ls="-", color="#888888"),
        mark(f"{TARGET:g}", marker="", ls="--", color=_RED),
    ]

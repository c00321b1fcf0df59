"""Which of the measured indexes is chosen, and which ones none beats."""

from collections.abc import Sequence

from pipelines.search.measuring.bench import TARGET, Point
from pipelines.tables.indexes import AskedIndex

MARGIN = 0.01
"""By how much the recall of a choice exceeds `TARGET`, since other queries will be asked."""
BOUND_MS = 150.0
"""Milliseconds that 99 of 100 queries are to keep."""

_TIED = 1.2  # about what latencies of one point differ by from run to run


def is_good(point: Point) -> bool:
    """Tell whether a point finds enough, with filters and without."""
    return point.recall >= TARGET + MARGIN and point.worst >= TARGET


def choose(points: Sequence[Point], standing: AskedIndex | None = None) -> Point:
    """Return the fastest point, by p99, that finds enough; a slow one only if all such are slow.

    Among those about as fast, the one that is `standing` stays, else the smallest index wins. One
    of the points must be `exact`, which finds everything.
    """
    good = [point for point in points if is_good(point)]
    quick = [point for point in good if point.p99_ms <= BOUND_MS] or good
    fastest = min(point.p99_ms for point in quick)

    def order(point: Point) -> tuple[bool, bool, int, float]:
        same = standing is not None and point.is_like(standing)
        asked = same and standing is not None and point.way == standing.way
        return not asked, not same, point.bytes, point.p99_ms

    return min((point for point in quick if point.p99_ms <= _TIED * fastest), key=order)


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that none beats in both its worst recall and p99, by rising p99."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (each.p99_ms, -each.worst)):
        if not best or point.worst > best[-1].worst:
            best.append(point)
    return best

"""The state of a table in numbers, whichever kind it is."""

from typing import NamedTuple


class TableState(NamedTuple):
    """One table: `versions` that can be read, `stale` ones among them that upkeep would remove.

    `small_files` are those that merging would take; `segments` are the pieces of its most divided
    index, `unindexed` the rows that its least complete index lacks.
    """

    table: str
    kind: str
    rows: int
    bytes: int
    versions: int
    stale: int
    small_files: int
    segments: int = 0
    unindexed: int = 0
    indexed: bool = False

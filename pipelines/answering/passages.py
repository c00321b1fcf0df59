"""What items say: their redacted passages of a release, as far as the caller may see them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pipelines.search.engines.lance import both, condition
from pipelines.search.fusion.profiles import BM25
from pipelines.search.views import View
from pipelines.tables.facts import equals_any

_MATCHING = 64
_MOST = 256
_TIMEOUT = dt.timedelta(seconds=10)


@dataclass(frozen=True)
class Passage:
    """A redacted text, what it was made from (`source`), and where in which item it stands."""

    item_id: str
    uri: str
    title: str | None
    kind: str
    source: str
    segment: str
    page: int | None
    start_s: float | None
    end_s: float | None
    text: str


_COLUMNS = [field.name for field in fields(Passage)]


async def read_passages(view: View, item_ids: Sequence[str], question: str = "") -> list[Passage]:
    """Return passages of some items, those of the first item first, in the order of reading.

    Rights and the ledger are a condition on the rows. Of long items, the 64 passages that match the
    question best are there in any case, and 256 others at most.
    """
    await view.searcher.tables.open()
    table = view.searcher.tables.tables.get(BM25)
    if table is None or not item_ids:
        return []
    where = both(condition(view.allowed), equals_any("item_id", item_ids))
    queries = [table.query().limit(_MOST).select(_COLUMNS)]
    if question:
        matching = table.query().nearest_to_text(question, columns=["text"])
        queries.append(matching.limit(_MATCHING).select([*_COLUMNS, "_score"]))
    found: dict[tuple[Any, ...], Passage] = {}
    for query in queries:
        rows = await query.where(where).to_arrow(timeout=_TIMEOUT)
        for row in rows.to_pylist():
            passage = Passage(**{name: row[name] for name in _COLUMNS})
            found[passage.item_id, passage.segment, passage.source, passage.text] = passage
    rank = {item_id: place for place, item_id in enumerate(item_ids)}
    return sorted(found.values(), key=lambda each: (rank[each.item_id], *_order(each)))


def place_of(row: Mapping[str, Any]) -> tuple[float, float, str]:
    """Return what puts the parts of an item in the order of reading."""
    return row["page"] or 0, row["start_s"] or 0.0, row["segment"]


def _order(passage: Passage) -> tuple[float, float, str]:
    return place_of({name: getattr(passage, name) for name in ("page", "start_s", "segment")})

"""What people thought of answers: clicks and verdicts, from which weights are learned."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pipelines import ledger
from pipelines.errors import BadInput
from pipelines.outcomes import now
from pipelines.search.journal.queries import Journal
from pipelines.search.journal.replay import query_of
from pipelines.search.journal.rows import record_of
from pipelines.search.journal.tables import append
from pipelines.search.journal.writing import EVERY_S, Writer
from pipelines.store import Store
from pipelines.tables.facts import equals_any

Kind = Literal["click", "good", "bad"]
GRADES: Mapping[str, int] = {"good": 2, "click": 1, "bad": 0}
"""How relevant an item is to a query of which somebody said that."""


class Feedback:
    """Feedback on the answers of a journal."""

    def __init__(self, store: Store, journal: Journal, every_s: float = EVERY_S):
        self._store = store
        self._journal = journal
        self._table = store.feedback
        self._writer: Writer[dict[str, Any]] = Writer(self._write, every_s)

    @property
    def dropped(self) -> int:
        """How many entries were lost."""
        return self._writer.dropped

    def add(
        self,
        query_id: str,
        item_id: str,
        kind: Kind,
        position: int | None = None,
        user: str | None = None,
    ) -> None:
        """Note what `user` (a pseudonym) thought of an item; without `position`, where it stood.

        Raises BadInput for a query that this user did not ask, and for an item that it was not
        answered with.
        """
        if kind not in get_args(Kind):
            raise BadInput(f"there is no such feedback; choose {', '.join(get_args(Kind))}")
        record = self._journal.get(query_id)
        if record is None or record.user != user:
            raise BadInput("there is no such query; give the query_id of an answer of yours")
        shown = [result["item_id"] for result in record.results]
        if item_id not in shown:
            raise BadInput("this item was not in that answer; give one that was")
        if position is None:
            position = record.request["offset"] + shown.index(item_id) + 1
        elif position < 1:
            raise BadInput("positions are counted from 1")
        self._writer.add(
            {
                "query_id": query_id,
                "item_id": item_id,
                "kind": kind,
                "position": position,
                "user": user,
                "at": now(),
            }
        )

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Have everything written at once; tells whether that was done in time."""
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what waits and stop."""
        self._writer.close()

    def _write(self, rows: list[dict[str, Any]]) -> None:
        append(self._store, self._table, rows)


def labels(store: Store) -> list[tuple[str, str, int]]:
    """Return (text of the query, item id, grade) for what feedback says, sorted.

    Of several opinions the newest counts, but a click counts for nothing beside a verdict. Left out
    are queries without a text, those whose text was masked, and items that were erased.
    """
    rows = sorted(store.feedback.rows(), key=lambda row: (row["kind"] != "click", row["at"]))
    asked = {
        record.query_id: query_of(record).literal
        for record in map(
            record_of,
            store.queries.rows(
                where=f"NOT masked AND {equals_any('query_id', {row['query_id'] for row in rows})}"
            ),
        )
    }
    gone = set(ledger.pending(store))
    grades = {
        (text, row["item_id"]): GRADES[row["kind"]]
        for row in rows
        if (text := asked.get(row["query_id"])) and row["item_id"] not in gone
    }
    return sorted((text, item_id, grade) for (text, item_id), grade in grades.items())

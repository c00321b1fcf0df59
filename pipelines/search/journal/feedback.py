"""What people thought of answers: clicks and verdicts, from which weights are learned."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from pipelines import ledger
from pipelines.errors import BadInput
from pipelines.outcomes import now
from pipelines.recipes import digest
from pipelines.rights import Caller
from pipelines.search.journal.queries import Journal
from pipelines.search.journal.records import Record
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

    async def add(
        self,
        query_id: str,
        item_id: str,
        kind: Kind,
        position: int | None = None,
        caller: Caller | None = None,
    ) -> None:
        """Note what a caller, whose user is a pseudonym, thought of an item.

        Without `position`, it is where the item stood. Raises BadInput for a query that is not
        theirs, and for an item that it was not answered with.
        """
        if kind not in get_args(Kind):
            raise BadInput(f"there is no such feedback; choose {', '.join(get_args(Kind))}")
        user = caller.user if caller else None
        record = await self._journal.get(query_id, caller)
        # Operators may know of a query without having asked it.
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


@dataclass(frozen=True)
class Labels:
    """What one user made of the answers to one question: grades of items, and where they stood.

    `record` is the newest query that asked it, without candidates and results.
    """

    record: Record
    grades: Mapping[str, int]
    ranks: Mapping[str, int]


def standing(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort feedback so that of several opinions of one item the last counts.

    The newest does, but a click counts for nothing beside a verdict.
    """
    return sorted(rows, key=lambda row: (row["kind"] != "click", row["at"]))


def labels(store: Store, newest: int = 2000) -> list[Labels]:
    """Return what feedback says of the `newest` queries that have any, by user and question.

    A question is a text with its filter, or a picture, sound or film. Left out are queries whose
    text was masked, those asked by an item, and items that were erased.
    """
    gone = set(ledger.pending(store))
    rows = [row for row in standing(store.feedback.rows()) if row["item_id"] not in gone]
    judged = dict.fromkeys(row["query_id"] for row in sorted(rows, key=lambda row: row["at"]))
    asked = _records(store, list(judged)[-newest:])
    questions: dict[tuple[str | None, str], dict[str, Mapping[str, Any]]] = {}
    last: dict[tuple[str | None, str], Record] = {}
    for row in rows:
        if record := asked.get(row["query_id"]):
            question = record.user, question_of(record)
            questions.setdefault(question, {})[row["item_id"]] = row
            last[question] = max(record, last.get(question, record), key=lambda each: each.at)
    return [
        Labels(
            last[question],
            {item_id: GRADES[row["kind"]] for item_id, row in said.items()},
            {item_id: row["position"] for item_id, row in said.items()},
        )
        for question, said in questions.items()
    ]


def question_of(record: Record) -> str:
    """Return what is the same for queries that ask the same: of words, else of vectors."""
    where, query = record.request["where"] or "", query_of(record)
    if query.literal:
        return digest(" ".join(query.literal.lower().split()), where)
    vectors = [np.asarray(probe.vector).tobytes() for _, probe in sorted(record.probes.items())]
    return digest(b"".join(vectors), where)


def _records(store: Store, query_ids: Sequence[str]) -> dict[str, Record]:
    """Return queries by id; those that a cache answered have the vectors of the first."""
    found = _read(store, query_ids)
    firsts = _read(store, {record.repeats for record in found.values() if record.repeats})
    return {
        query_id: replace(record, probes=firsts[record.repeats].probes)
        if record.repeats in firsts
        else record
        for query_id, record in found.items()
        if record.request["like"] is None
    }


def _read(store: Store, query_ids: Collection[str]) -> dict[str, Record]:
    columns = [name for name in store.queries.schema.names if name not in _LARGE]
    where = f"NOT masked AND {equals_any('query_id', query_ids)}"
    rows = store.queries.rows(columns, where)
    return {row["query_id"]: record_of({**_LARGE, **row}) for row in rows}


# What a query was answered with is not read: for thousands it would be gigabytes.
_LARGE: Mapping[str, Any] = {
    "results": "[]",
    "trace": "[]",
    "channels": [],
    "candidates": [],
    "scores": [],
    "similarities": [],
    "evidence": [],
    "items": [],
}

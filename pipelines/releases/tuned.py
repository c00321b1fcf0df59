"""What was tuned and learned, on record: the next release is built and asked so."""

import datetime as dt

from pydantic import ValidationError

from pipelines.releases.manifest import Learned
from pipelines.store import Store
from pipelines.tables.indexes import TRAINABLE, AskedIndex

_NOTE = "tuning"
_LEARNED = "learned"
_OUTGROWN = 2


class Choice(AskedIndex, frozen=True):
    """The index of a channel's table, which had `rows` then, and what held-out queries measured."""

    table: str
    recall: float
    p99_ms: float
    rows: int
    at: dt.datetime

    def asked(self) -> dict[str, int]:
        """Return what the manifest says of how it is asked."""
        return {} if self.index == "exact" else {"nprobes": self.nprobes, "refine": self.refine}

    def fits(self, table: str, rows: int) -> bool:
        """Tell whether it still says something about a table of so many rows.

        It does not for that of another encoder, nor for too few rows to train an index on; and
        that comparing every row was fast enough says nothing once there are many more.
        """
        if self.index == "exact":
            return self.table == table and rows <= _OUTGROWN * self.rows
        return self.table == table and rows >= TRAINABLE


def read_choices(store: Store) -> dict[str, Choice]:
    """Return what was chosen, by channel; nothing of what cannot be read."""
    choices = {}
    for channel, written in store.notes.read(_NOTE).items():
        try:
            choices[channel] = Choice.model_validate(written)
        except ValidationError:
            continue
    return choices


def write_choices(store: Store, choices: dict[str, Choice]) -> None:
    """Record choices; those of other channels stay."""
    known = read_choices(store) | choices
    store.notes.write(_NOTE, {name: each.model_dump(mode="json") for name, each in known.items()})


def read_learned(store: Store) -> Learned | None:
    """Return the scales and weights that the next release has, `None` for the fixed ones."""
    written = store.notes.read(_LEARNED)
    return Learned.model_validate(written) if written else None


def write_learned(store: Store, learned: Learned | None) -> None:
    """Record scales and weights for the next release; `None` goes back to the fixed ones."""
    store.notes.write(_LEARNED, learned.model_dump() if learned else {})

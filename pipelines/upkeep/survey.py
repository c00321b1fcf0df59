"""What a home consists of: every table in numbers, and bytes by folder."""

import datetime as dt
from pathlib import Path
from typing import NamedTuple

from pipelines.outcomes import now
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.upkeep import facts, search
from pipelines.upkeep.files import below, total
from pipelines.upkeep.state import TableState

# Upkeep runs nightly, so that during a day something may become old enough.
_A_DAY = dt.timedelta(days=1)


class Survey(NamedTuple):
    """All tables, and the bytes on disk of each folder: delta, lance, blobs, dagster."""

    tables: list[TableState]
    folders: dict[str, int]

    @property
    def bytes(self) -> int:
        """Bytes on disk of everything."""
        return sum(self.folders.values())

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)


def survey(store: Store, settings: Settings) -> Survey:
    """Look at every table and folder; changes nothing."""
    options = store.storage_options
    folders = {name: f"{store.root}/{name}" for name in ("delta", "lance", "blobs")}
    sizes = {name: total(below(uri, options)) for name, uri in folders.items()}
    sizes["dagster"] = total(below(str(Path(settings.home).resolve() / "dagster")))
    return Survey(survey_tables(store, settings.keep_days), sizes)


def survey_tables(store: Store, keep_days: float) -> list[TableState]:
    """Return the state of every table that was ever written."""
    limit = now() - dt.timedelta(days=keep_days) - _A_DAY
    tables = store.facts
    deltas = (facts.state(table, name, limit) for name, table in tables.items())
    lances = (search.state(store, name, limit) for name in search.tables(store))
    return [*filter(None, deltas), *lances]

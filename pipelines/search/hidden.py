"""What no answer may show, whatever release it comes from: erased items and expired ones."""

import threading
import time
from collections.abc import Callable, Sequence

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from pipelines.ledger import hidden_by, pending
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import FactTable

_EXPIRY_S = 60.0


class Watch:
    """The version of a Delta table, looked up so cheaply that every query can ask."""

    def __init__(self, table: FactTable):
        self._table = table
        self._handle: DeltaTable | None = None
        self._lock = threading.Lock()

    def version(self) -> int | None:
        """Return the newest version; `None` for a table that was never written."""
        with self._lock:
            if self._handle is not None:
                try:
                    self._handle.update_incremental()
                    return self._handle.version()
                except DeltaError:
                    self._handle = None
            try:
                options = self._table.storage_options
                self._handle = DeltaTable(self._table.uri, storage_options=options)
            except TableNotFoundError:
                return None
            return self._handle.version()


class Hidden:
    """The items to leave out, as a condition on searched rows.

    An erasure holds from the next query on. `expired` names items whose time is over; it is asked
    once a minute, and when items changed.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        expired: Callable[[], Sequence[str]] | None = None,
    ):
        self._store = store
        self._settings = settings
        self._ask_expired = expired or self._expired_by_settings
        self._ledger, self._items = Watch(store.ledger), Watch(store.items)
        self._seen_ledger: int | None = None
        self._seen_items: int | None = None
        self._asked = float("-inf")
        self._erased: Sequence[str] = ()
        self._expired: Sequence[str] = ()
        self._lock = threading.Lock()
        self.condition: str | None = None

    def look_at_ledger(self) -> bool:
        """Take in new erasures; tells whether there were any."""
        with self._lock:
            version = self._ledger.version()
            if version == self._seen_ledger:
                return False
            self._erased = pending(self._store)
            self._combine()
            self._seen_ledger = version
            return True

    def look_at_expiry(self) -> None:
        """Take in what expired, where that may have changed."""
        version = self._items.version()
        if version == self._seen_items and time.monotonic() - self._asked < _EXPIRY_S:
            return
        expired = self._ask_expired()
        with self._lock:
            self._expired = expired
            self._combine()
        self._seen_items, self._asked = version, time.monotonic()

    def look(self) -> str | None:
        """Take in both and return the condition, `None` when nothing is hidden."""
        self.look_at_ledger()
        self.look_at_expiry()
        return self.condition

    def _combine(self) -> None:
        self.condition = hidden_by({*self._erased, *self._expired})

    def _expired_by_settings(self) -> Sequence[str]:
        from pipelines.upkeep.expiry import expired

        return expired(self._store, self._settings)

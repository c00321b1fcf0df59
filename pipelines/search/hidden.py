"""What no answer may show, whatever release it comes from: erased items and expired ones."""

import threading
import time
from collections.abc import Callable, Sequence

from pipelines.ledger import hidden_by, pending
from pipelines.settings import Settings
from pipelines.store import Store

_EXPIRY_S = 60.0


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
            version = self._store.ledger.version
            if version == self._seen_ledger:
                return False
            self._erased = pending(self._store)
            self._combine()
            self._seen_ledger = version
            return True

    def look_at_expiry(self) -> None:
        """Take in what expired, where that may have changed."""
        version = self._store.items.version
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

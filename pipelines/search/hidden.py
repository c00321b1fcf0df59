"""What no answer may show, whatever release it comes from: what is erased, expired, not allowed."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence

from pipelines.ledger import pending
from pipelines.outcomes import now
from pipelines.recipes import digest_json
from pipelines.rights import governed
from pipelines.settings import Settings
from pipelines.store import Store

_EXPIRY_S = 60.0
_NAMED = 5_000


class Hidden:
    """The ids of the items to leave out; `epoch` is another one whenever they change, for good.

    An erasure holds from the next query on. `expired` names items whose time is over; it is asked
    once a minute, and when items changed, and so is whether people still consent. What is about to
    expire is left out a little early, so that no answer that is kept for a moment shows it late.
    Where very many do not consent, the ids are those that changed last, and not `is_complete`.
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
        self.items_version: int | None = None
        self._asked = float("-inf")
        self._erased: Sequence[str] = ()
        self._expired: Sequence[str] = ()
        self._lock = threading.Lock()
        self.items: frozenset[str] = frozenset()
        self.epoch = ""
        self.is_complete = True

    def look_at_ledger(self) -> bool:
        """Take in new erasures; tells whether there were any."""
        with self._lock:
            version = self._store.ledger.version
            if version == self._seen_ledger:
                return False
            self._erased = pending(self._store)
            self._seen_ledger = version
            self._combine()
            return True

    def look_at_expiry(self) -> None:
        """Take in what expired, where that may have changed."""
        version = self._store.items.version
        if version == self.items_version and time.monotonic() - self._asked < _EXPIRY_S:
            return
        refused = _without_consent(self._store)
        expired = [*self._ask_expired(), *refused[:_NAMED]]
        with self._lock:
            self._expired = expired
            self.is_complete = len(refused) <= _NAMED
            self._combine()
        self.items_version, self._asked = version, time.monotonic()

    def look(self) -> frozenset[str]:
        """Take in both and return the ids."""
        self.look_at_ledger()
        self.look_at_expiry()
        return self.items

    def _combine(self) -> None:
        self.items = frozenset({*self._erased, *self._expired})
        # After a purge nothing is hidden any more, but no answer of before may come back.
        self.epoch = digest_json({"ledger": self._seen_ledger, "hidden": sorted(self.items)})

    def _expired_by_settings(self) -> Sequence[str]:
        from pipelines.upkeep.expiry import expired

        return expired(self._store, self._settings)


def _without_consent(store: Store) -> list[str]:
    """Return the items whose people do not consent by now, those first that changed last."""
    soon = now() + dt.timedelta(seconds=2 * _EXPIRY_S)
    said = "(consent IS NOT NULL OR consent_expires IS NOT NULL)"
    rows = store.items.rows(
        ["item_id", "updated_at"], f"NOT deleted AND {said} AND NOT {governed(soon)}"
    )
    rows.sort(key=lambda row: (row["updated_at"] is not None, row["updated_at"]), reverse=True)
    return [row["item_id"] for row in rows]

"""What no answer may show, whatever release it comes from: what is erased, expired, not allowed."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipelines.errors import StorageAway
from pipelines.ledger import mark
from pipelines.outcomes import now
from pipelines.recipes import digest_json
from pipelines.rights import governed
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import FactTable

AWAY = (
    "the storage of this home cannot be read any more; bring it back, or set `replica` to a copy "
    "that answers meanwhile"
)
_EXPIRY_S = 60.0
_NAMED = 5_000


class Hidden:
    """The ids of the items to leave out; `epoch` is another one whenever they change, for good.

    An erasure holds from the next query on. `expired` names items whose time is over; it is asked
    once a minute, and when items changed, and so is whether people still consent. What is about to
    expire is left out a little early, so that no answer that is kept for a moment shows it late.
    Where very many do not consent, the ids are those that changed last, and not `is_complete`.

    In a copy of a storage what was known of the storage last (`of`) holds too. The copy may still
    have what was purged there since: such items are known by the ledger's marks.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        expired: Callable[[], Sequence[str]] | None = None,
        of: "Hidden | None" = None,
    ):
        self.store = store
        self.of = of
        self._settings = settings
        self._ask_expired = expired or self._expired_by_settings
        self._seen_ledger: int | None = None
        self._seen_of = ""
        self.items_version: int | None = None
        self._asked = float("-inf")
        self._erased: Sequence[str] = ()
        self._expired: Sequence[str] = ()
        self._marks: frozenset[str] = frozenset()
        self._marked: tuple[object, frozenset[str]] = (None, frozenset())
        self._all_consents = True
        self._lock = threading.Lock()
        self._alone = ThreadPoolExecutor(1, "ledger")
        self.items: frozenset[str] = frozenset()
        self.epoch = ""

    @property
    def is_complete(self) -> bool:
        """Whether `items` holds all whose people do not consent."""
        return self._all_consents and (self.of is None or self.of.is_complete)

    def is_unchanged(self) -> bool:
        """Tell whether the ledger surely holds nothing new; takes microseconds."""
        return self.store.ledger.stands_at(self._seen_ledger)

    def look_at_ledger(self) -> bool:
        """Take in new erasures; tells whether there were any.

        Raises StorageAway where the ledger is gone; what was known of it last holds on.
        """
        with self._lock:
            version = still_there(self.store.ledger, self._seen_ledger)
            known_of = self.of.epoch if self.of else ""
            if (version, known_of) == (self._seen_ledger, self._seen_of):
                return False
            rows = self.store.ledger.rows(["subject", "item_id"])
            still_there(self.store.ledger, version)
            self._erased = sorted({row["item_id"] for row in rows} - {None})
            self._marks = frozenset({row["subject"] for row in rows} - {None})
            self._combine(version)
            self._seen_ledger, self._seen_of = version, known_of
            return True

    def look_within(self, seconds: float) -> bool:
        """As `look_at_ledger`, but raises TimeoutError where the storage takes longer."""
        looked = self._alone.submit(self.look_at_ledger)
        try:
            return looked.result(seconds)
        except TimeoutError:
            looked.cancel()
            raise

    def look_at_expiry(self) -> None:
        """Take in what expired, where that may have changed; raises StorageAway."""
        version = still_there(self.store.items, self.items_version)
        if version == self.items_version and time.monotonic() - self._asked < _EXPIRY_S:
            return
        refused = _without_consent(self.store)
        expired = [*self._ask_expired(), *refused[:_NAMED]]
        still_there(self.store.items, version)
        with self._lock:
            self._expired = expired
            self._all_consents = len(refused) <= _NAMED
            self._combine(self._seen_ledger)
        self.items_version, self._asked = version, time.monotonic()

    def look(self) -> frozenset[str]:
        """Take in both and return the ids."""
        self.look_at_ledger()
        self.look_at_expiry()
        return self.items

    def _combine(self, ledger: int | None) -> None:
        told: dict[str, object] = {"ledger": ledger}
        self.items = frozenset({*self._erased, *self._expired})
        if self.of is not None:
            self.items |= self.of.items | self._still_here(self._marks | self.of._marks)
            told["of"] = self.of.epoch
        # After a purge nothing is hidden any more, but no answer of before may come back.
        self.epoch = digest_json(told | {"hidden": sorted(self.items)})

    def _still_here(self, marks: frozenset[str]) -> frozenset[str]:
        """Return the items of this store that were ever erased, by their marks."""
        if not marks:
            return frozenset()
        seen = (self.store.items.version, marks)
        if self._marked[0] != seen:
            ids = self.store.items.read(["item_id"])["item_id"].to_pylist()
            self._marked = (seen, frozenset(each for each in ids if mark(each) in marks))
        return self._marked[1]

    def _expired_by_settings(self) -> Sequence[str]:
        from pipelines.upkeep.expiry import expired

        return expired(self.store, self._settings)


def still_there(table: FactTable, seen: int | None) -> int | None:
    """Return a table's version; raises StorageAway where there is none of what was `seen`.

    A table that is gone reads as an empty one, which would tell that nothing is erased.
    """
    version = table.version
    if version is None and seen is not None:
        raise StorageAway(AWAY)
    return version


def _without_consent(store: Store) -> list[str]:
    """Return the items whose people do not consent by now, those first that changed last."""
    soon = now() + dt.timedelta(seconds=2 * _EXPIRY_S)
    said = "(consent IS NOT NULL OR consent_expires IS NOT NULL)"
    rows = store.items.rows(
        ["item_id", "updated_at"], f"NOT deleted AND {said} AND NOT {governed(soon)}"
    )
    rows.sort(key=lambda row: (row["updated_at"] is not None, row["updated_at"]), reverse=True)
    return [row["item_id"] for row in rows]

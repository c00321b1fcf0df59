"""Which rows of a release a caller may see by now."""

import datetime as dt
import threading
from dataclasses import dataclass

from cachetools import LRUCache

from pipelines.recipes import digest_json
from pipelines.rights import Caller, condition, governed
from pipelines.search.asked.query import Degraded
from pipelines.search.engines.lance import both
from pipelines.search.engines.protocol import Allowed
from pipelines.search.hidden import Hidden, still_there
from pipelines.search.searcher import Searcher

_RIGHTS = 256  # of different callers that are remembered
_LATE = dt.timedelta(minutes=1)  # An item bears the time at which writing it began.


@dataclass(frozen=True)
class View:
    """What one query is answered from: a release, and which rows its caller may see.

    `allowed` is for the rows of that release, `known` for those of the table of items. `epoch` is
    another one whenever an item was hidden or is shown again. `away` tells that the storage itself
    cannot be read.
    """

    searcher: Searcher
    allowed: Allowed
    known: Allowed
    epoch: str
    away: Degraded | None = None


class Views:
    """Makes views, and remembers what was withdrawn from callers of some rights."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._changed: LRUCache[tuple, frozenset[str]] = LRUCache(_RIGHTS)

    def of(
        self,
        caller: Caller | None,
        searcher: Searcher,
        hidden: Hidden,
        away: Degraded | None = None,
    ) -> View:
        """Return what a caller may see of a release that is open, in whose store is `hidden`."""
        gone, withdrawn = hidden.items, self._withdrawn(caller, searcher, hidden)
        # Rows know who consented when they were indexed; the ids, who changed their mind since.
        consent = None if hidden.is_complete else governed(dt.datetime.now(dt.UTC))
        epoch = hidden.epoch
        if withdrawn:
            gone, epoch = gone | withdrawn, digest_json([epoch, sorted(withdrawn)])
        return View(
            searcher,
            Allowed(both(condition(caller, searcher.tables.columns), consent), gone),
            # A copy's items may be as old as its releases.
            Allowed(both(condition(caller), consent), gone if hidden.of else hidden.items),
            epoch,
            away,
        )

    def _withdrawn(
        self, caller: Caller | None, searcher: Searcher, hidden: Hidden
    ) -> frozenset[str]:
        """Return the items that a caller may not see any more, of those changed since a release.

        Its rows know the regions and groups of their time, also after a rollback. In a copy, what
        was seen to be withdrawn in the storage stays so.
        """
        rights = condition(caller)
        if rights is None:
            return frozenset()
        known, items = searcher.manifest.current_until - _LATE, hidden.store.items
        key = (rights, hidden.store.root, hidden.items_version, known)
        with self._looking:
            if key not in self._changed:
                since = f"updated_at >= TIMESTAMP '{known.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}'"
                found = items.read(["item_id"], f"{since} AND NOT {rights}")
                still_there(items, hidden.items_version)
                self._changed[key] = frozenset(found["item_id"].to_pylist())
            if hidden.of is None:
                return self._changed[key]
            same = (ids for each, ids in self._changed.items() if each[0] == rights)
            return frozenset().union(*same)

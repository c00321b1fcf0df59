"""What callers like who agreed to that: items of their clicks and verdicts, the newest first."""

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.recipes import digest_json
from pipelines.rights import Caller
from pipelines.search import catalog
from pipelines.search.engines.protocol import Allowed
from pipelines.search.journal.feedback import GRADES, standing
from pipelines.search.journal.records import Record
from pipelines.settings import Settings
from pipelines.store import Store
from pipelines.tables.facts import quoted

PERSONAL = "personal"
"""The part of a score that taste adds."""

# Chosen, not measured: an interest of a quarter ago counts for an eighth.
_HALF_LIFE = dt.timedelta(days=30)
_MOST = 50  # items, the newest


@dataclass(frozen=True)
class Taste:
    """What counts in the scores of one caller, with a `weight`: weights of the `items` they liked.

    For a query of the past, `then` is what each candidate was given by the taste of then, 0..1.
    """

    weight: float
    items: Mapping[str, float]
    user: str | None = None
    then: Mapping[str, float] | None = None

    @property
    def key(self) -> str:
        """What tells it from every other taste."""
        return digest_json([self.user, self.weight, sorted(self.items.items())])


async def taste_of(
    store: Store, settings: Settings, known: Allowed, caller: Caller | None
) -> Taste | None:
    """Return the taste of a caller, whose user is a pseudonym, by the `known` items they may see.

    `None`, and nothing is read, where the setting `personal` is 0 or the caller did not agree.
    """
    if not settings.personal or caller is None or caller.user is None or not caller.personal:
        return None
    items = await asyncio.to_thread(_liked, store, caller.user, known)
    return Taste(settings.personal, items, caller.user) if items else None


def taste_then(record: Record) -> Taste | None:
    """Return what taste gave the candidates of a query of the past, `None` where it had no part."""
    found = record.candidates
    if PERSONAL not in found.channels:
        return None
    values = found.evidence[found.channels.index(PERSONAL)].tolist()
    then = dict(zip(found.items, values, strict=True))
    return Taste(record.weights[PERSONAL], {}, then=then)


def _liked(store: Store, user: str, known: Allowed) -> dict[str, float]:
    """Return what a user liked and may still see; a verdict counts for twice a click.

    Each counts for half of what it did a half-life before the newest: so only another click or
    verdict changes the taste, and no passing of time.
    """
    rows = store.feedback.rows(["item_id", "kind", "at"], f'"user" = {quoted(user)}')
    said = {row["item_id"]: row for row in standing(rows)}
    liked = [row for row in said.values() if GRADES[row["kind"]] > 0]
    liked = sorted(liked, key=lambda row: (row["at"], row["item_id"]))[-_MOST:]
    shown = catalog.shown(store, {row["item_id"] for row in liked}, known)
    return {
        row["item_id"]: GRADES[row["kind"]] * 0.5 ** ((liked[-1]["at"] - row["at"]) / _HALF_LIFE)
        for row in liked
        if row["item_id"] in shown
    }

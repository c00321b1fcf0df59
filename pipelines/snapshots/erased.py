"""What was erased since a snapshot: remembered beside the snapshots, erased again after a restore.

Only digests are kept there, as the ledger keeps them of a purged item.
"""

import datetime as dt
import json
from collections import defaultdict
from typing import Any

from pipelines import ledger
from pipelines.settings import Settings
from pipelines.snapshots.files import Tree
from pipelines.store import Store

_FOLDER = "erased"
_COLUMNS = ("event", "subject", "contents", "places", "reason", "at")


def remember_erasures(store: Store, settings: Settings) -> int:
    """Leave the ledger's digests beside the snapshots, so that no restore undoes an erasure.

    To be called whenever something was erased; without a place for snapshots it does nothing.
    Returns how many erasures are new there.
    """
    if not settings.snapshots:
        return 0
    tree = Tree(settings.snapshots)
    known = set(tree.names(_FOLDER))
    new = [
        row
        for row in store.ledger.rows(_COLUMNS, "subject IS NOT NULL")
        if f"{row['subject']}.json" not in known
    ]
    for row in new:
        document = json.dumps(row | {"at": row["at"].isoformat()})
        tree.write([document.encode()], f"{_FOLDER}/{row['subject']}.json")
    return len(new)


def erase_again(store: Store, tree: Tree) -> int:
    """Erase in a restored store what was erased after its snapshot; returns the number of items.

    Also what the snapshot never held is entered in the ledger, so that a scan refuses it.
    """
    entered = {(row["subject"], row["at"]) for row in store.ledger.rows(["subject", "at"])}
    missing = [row for row in _remembered(tree) if (row["subject"], row["at"]) not in entered]
    if not missing:
        return 0
    reasons = {row["subject"]: row["reason"] for row in missing}
    doomed: dict[str, list[str]] = defaultdict(list)
    for item_id in store.items.read(["item_id"])["item_id"].to_pylist():
        subject = ledger.mark(item_id)
        if subject in reasons:
            doomed[reasons[subject]].append(item_id)
    for reason, item_ids in doomed.items():
        ledger.erase(store, item_ids, reason)
    store.ledger.append_after(lambda before: _numbered(before, missing))
    return sum(map(len, doomed.values()))


def _remembered(tree: Tree) -> list[dict[str, Any]]:
    rows = [json.loads(b"".join(tree.read(f"{_FOLDER}/{name}"))) for name in tree.names(_FOLDER)]
    return [row | {"at": dt.datetime.fromisoformat(row["at"])} for row in rows]


def _numbered(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first = max((row["sequence"] for row in before), default=0) + 1
    return [row | {"sequence": number} for number, row in enumerate(rows, first)]

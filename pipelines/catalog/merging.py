"""What several origins say of one item, as one: of what governs it, the strictest holds.

Another origin never lets anybody see more, and in which order origins were met does not count. All
else is taken, key by key, from the first of them that says it.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.rights import GLOBAL, NOBODY, NOWHERE, refuses


def merged(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one row of metadata columns for those of several origins, in the order of these.

    Groups must be named by every origin that names any, regions be the same. Consent that one
    refuses is refused, and it ends when it first does. With no rows there is nothing to merge.
    """
    row = {name: next(filter(None, _each(name, rows)), rows[0][name]) for name in rows[0]}
    return row | {
        "extra": _extra(rows),
        "access": _access(_each("access", rows)),
        "region": _region(_each("region", rows)),
        "consent": min(
            filter(None, _each("consent", rows)),
            key=lambda said: (not refuses(said), said),
            default=None,
        ),
        "consent_expires": min(
            filter(None, _each("consent_expires", rows)),
            key=lambda ends: (_moment(ends), ends),
            default=None,
        ),
    }


def _each(name: str, rows: Iterable[Mapping[str, Any]]) -> list[Any]:
    return [row[name] for row in rows]


def _extra(rows: Sequence[Mapping[str, Any]]) -> str | None:
    extra: dict[str, Any] = {}
    for text in reversed(_each("extra", rows)):
        extra |= json.loads(text or "{}")
    return json.dumps(extra, sort_keys=True, ensure_ascii=False) if extra else None


def _access(named: Iterable[Sequence[str] | None]) -> list[str] | None:
    groups = [set(names) for names in named if names]
    return (sorted(set.intersection(*groups)) or [NOBODY]) if groups else None


def _region(named: Sequence[str | None]) -> str | None:
    known = {name: name.strip(" ").lower() for name in named if name}
    bound = sorted(name for name, plain in known.items() if plain not in {"", GLOBAL})
    if len({known[name] for name in bound}) > 1:
        return NOWHERE
    return next(iter(bound), None) or min(known, default=None)


def _moment(ends: str) -> dt.datetime:
    """Return when consent is over; a day lasts to its end, and what is no time is over already."""
    try:
        moment = dt.datetime.fromisoformat(ends)
    except ValueError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    if len(ends) == len("2026-01-31"):
        return moment + dt.timedelta(days=1) if moment.date() < dt.date.max else moment
    return moment

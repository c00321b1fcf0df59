"""Who asks, and the rows that they may see: a condition that every search carries.

Conditions are SQL on the columns that searched rows copy of their items, so that they hold before
any cut; the same text is understood by LanceDB and over the table of items.
"""

import datetime as dt
import hashlib
import hmac
import os
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from pipelines.errors import BadInput, MediadexError
from pipelines.recipes import digest
from pipelines.tables.facts import quoted
from pipelines.tables.schemas import ATTRIBUTES

OPERATE = "operate"
"""The scope of those who may see how a server does, and what others asked."""
UPLOAD = "upload"
"""The scope of those who may add items."""
GLOBAL = "global"
"""The region of items that are for callers of every region."""
NOBODY = "no\none"
"""A group that nobody can be in, since it cannot be printed."""
NOWHERE = "no\nwhere"
"""A region that no caller can be of, for the same reason."""

_REFUSED = "denied expired false no none opted-out pending refused revoked withdrawn"
_MOST_BYTES = 64_000
_SECRET_BYTES = 32
_EXAMPLE = '{"user": "ana", "scopes": ["search"], "region": "eu", "groups": ["press"]}'


def _clean(name: str) -> str:
    if not name.isprintable():
        raise ValueError("has characters that cannot be printed")
    return name


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_clean)
]
Names = Annotated[frozenset[Annotated[Name, Field(min_length=1)]], Field(max_length=256)]


class Caller(BaseModel):
    """One who asks; `None` in its place is the operator of the home, who may see everything.

    With `personal` they agree that what they liked counts in what they find.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Name | None = Field(None, repr=False)
    scopes: Names = frozenset({"search", "feedback"})
    region: Name | None = None
    groups: Names = frozenset()
    personal: bool = False

    @classmethod
    def of_json(cls, text: str) -> "Caller":
        """Read a caller from a JSON object with some of its fields.

        Raises BadInput, which names the fields that are wrong and never what they hold.
        """
        if len(text) > _MOST_BYTES:
            raise BadInput(f"a caller is described in at most {_MOST_BYTES} characters")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
            named = ", ".join(sorted(wrong & cls.model_fields.keys()))
            reason = f"{named} cannot be read" if named else "it is no object of these fields alone"
            raise BadInput(f"a caller is not understood: {reason}; write {_EXAMPLE}") from None


def condition(
    caller: Caller | None, columns: Collection[str] = frozenset(ATTRIBUTES.names)
) -> str | None:
    """Return the SQL condition for the rows that a caller may see; `None` for the operator.

    `columns` are those that the searched tables have. Where releases are older than `access`, its
    place is taken by the key of that name in `extra`, which lets nobody in.
    """
    if caller is None:
        return None
    regions = {"", GLOBAL, (caller.region or "").lower()}
    of_region = f"region IS NULL OR lower(trim(region)) IN ({_listed(regions)})"
    if "access" not in columns:
        return f"(({of_region}) AND json_extract(extra, '$.\"access\"') IS NULL)"
    of_groups = "access IS NULL OR array_length(access) = 0"
    if caller.groups:
        of_groups += f" OR array_has_any(access, [{_listed(caller.groups)}])"
    return f"(({of_region}) AND ({of_groups}))"


def governed(now: dt.datetime) -> str:
    """Return the SQL condition for the rows whose people consent at a time (aware).

    It binds everyone, the operator included. Without `consent` and `consent_expires` nothing was
    said against a row; consent lasts through the day that it expires on, in UTC, and a time that
    cannot be read is over. The condition stays the same for a minute, whose end it looks at.
    """
    moment = now.astimezone(dt.UTC).replace(tzinfo=None, second=0, microsecond=0)
    moment += dt.timedelta(minutes=1)
    ends = "TRY_CAST(consent_expires AS TIMESTAMP)"
    lasts = f"{ends} > {_time(moment)}"
    days = f"length(consent_expires) = 10 AND {ends} > {_time(moment - dt.timedelta(days=1))}"
    given = f"consent IS NULL OR lower(trim(consent)) NOT IN ({_listed(_REFUSED.split())})"
    return f"(({given}) AND (consent_expires IS NULL OR {lasts} OR ({days})))"


def refuses(consent: str | None) -> bool:
    """Tell whether what is said of consent refuses it, as `governed` reads it."""
    return consent is not None and consent.strip(" ").lower() in _REFUSED.split()


def fingerprint(caller: Caller | None) -> str:
    """Return what tells rights apart, for keys of caches: equal where the same rows may be seen."""
    return digest("rights", condition(caller) or "")


def pseudonym(user: str, secret: bytes) -> str:
    """Return 16 hex digits that stand for a user; without the secret nobody can tell for whom."""
    return hmac.new(secret, user.encode(), hashlib.sha256).hexdigest()[:16]


def secret_of(home: Path) -> bytes:
    """Return the secret of a home, made at first need; who comes second reads the first one's."""
    path = home / "secret"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        mine = home / f".secret-{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
                out.write(secrets.token_bytes(_SECRET_BYTES))
            # A link appears whole, and never over another one.
            os.link(mine, path)
        except FileExistsError:
            pass
        finally:
            mine.unlink(missing_ok=True)
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise MediadexError(f"{path} is damaged: remove it, and a new one is made")
    return secret


def _listed(values: Collection[str]) -> str:
    return ", ".join(quoted(value) for value in sorted(values))


def _time(moment: dt.datetime) -> str:
    return f"TIMESTAMP '{moment.isoformat(sep=' ', timespec='seconds')}'"

"""What people say about their media: redacted, sorted into columns, made searchable text."""

import datetime as dt
import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.errors import BadInput
from pipelines.privacy.pii import PATTERN_ENTITIES, Detector, mask
from pipelines.reading.passages import split_text
from pipelines.recipes import digest, digest_json
from pipelines.tables.schemas import ATTRIBUTE_KEYS, DATE_KEYS, TEXT_KEYS
from pipelines.versions import code_version

SEGMENT = "meta"
"""The part of an item that its metadata is."""

_VOCABULARY = ("domain", "region", "usage_rights", "consent", "business_unit", "product_family")
_RIGHTS = ("region", "access", "consent", "consent_expires")
_AS_IS = {"item_id", "access", *DATE_KEYS}
# Names and ids are full of digits; only what cannot be mistaken is looked for there.
_UNMISTAKABLE = ("EMAIL_ADDRESS", "US_SSN")


def version() -> str:
    """Return the version of what becomes of metadata."""
    return code_version("metadata", (sys.modules[__name__],))


def hash_of(metadata: Mapping[str, Any], detector: Detector) -> str:
    """Return the hash of what is said of a file and what becomes of it; empty for nothing."""
    if not metadata:
        return ""
    return digest(version(), digest_json(metadata), detector.identity.key)


def redact_name(name: str, detector: Detector) -> str:
    """Mask what is certainly personal in a file name or id; equal to the input where nothing is."""
    return mask(name, detector.find(name, _UNMISTAKABLE))


def redact_metadata(
    metadata: Mapping[str, Any], detector: Detector
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Mask personal data in every string of a metadata row; return it with its findings.

    Keys of a fixed vocabulary such as `region` are searched for patterns only, not for names.
    Raises BadInput for an `item_id` or a group in `access` that holds personal data, since a masked
    one would be another, for an `access` that is no list of names and for a key that is a right but
    for its capitals, spaces or signs, since everyone would get in, and for a `consent_expires` that
    is no date, since consent without an end would be wrong.
    """
    findings: list[dict[str, Any]] = []

    def clean(value: Any, field: str) -> Any:
        if isinstance(value, str):
            found = detector.find(value, PATTERN_ENTITIES if field in _VOCABULARY else None)
            findings.extend(
                {
                    "segment": SEGMENT,
                    "source": "metadata",
                    "entity": finding.entity,
                    "score": finding.score,
                    "place": json.dumps({"field": field}),
                    "recipe": "",
                }
                for finding in found
            )
            return mask(value, found)
        if isinstance(value, list):
            return [clean(entry, field) for entry in value]
        if isinstance(value, dict):
            return {redact_name(key, detector): clean(entry, field) for key, entry in value.items()}
        return value

    for key in metadata:
        if key not in _RIGHTS and (meant := _RIGHTS_BY_LETTERS.get(_letters(key))):
            raise BadInput(f"its metadata misspell a right; write the key {meant} just like that")
    item_id = str(metadata.get("item_id", ""))
    if redact_name(item_id, detector) != item_id:
        raise BadInput("its item_id holds personal data; choose another id")
    if any(redact_name(group, detector) != group for group in groups(metadata.get("access"))):
        raise BadInput("its access names a group by personal data; choose another name")
    if "consent_expires" in metadata and _date(str(metadata["consent_expires"])) is None:
        raise BadInput("its consent_expires is no ISO 8601 date; write it like 2027-01-31")
    return {
        redact_name(key, detector): value if key in _AS_IS else clean(value, key)
        for key, value in metadata.items()
    }, findings


def columns(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Sort redacted metadata into the known columns and the JSON of everything else."""
    row: dict[str, Any] = dict.fromkeys(TEXT_KEYS + ATTRIBUTE_KEYS)
    extra = {}
    for key, value in metadata.items():
        if key in DATE_KEYS:
            row[key] = _date(str(value))
        elif key in row:
            row[key] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        elif key not in {"item_id", "tags", "access"}:
            extra[key] = value
    tags = metadata.get("tags", [])
    row["tags"] = _words(map(str, tags) if isinstance(tags, list) else str(tags).split(","))
    row["access"] = groups(metadata.get("access")) or None
    row["extra"] = json.dumps(extra, sort_keys=True, ensure_ascii=False) if extra else None
    return row


def groups(value: Any) -> list[str]:
    """Return the names of the groups that may see an item, in order; none means everyone.

    Raises BadInput for what is neither a list of names nor one text with commas between them.
    """
    if value is None:
        return []
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadInput('its access is no list of groups; write it like ["press", "sales"]')
    return sorted(set(_words(names)))


def _words(texts: Iterable[str]) -> list[str]:
    return [text.strip() for text in texts if text.strip()]


def _letters(key: str) -> str:
    """Return what is left of a key without capitals, spaces and signs."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", key).casefold()))


_RIGHTS_BY_LETTERS = {_letters(key): key for key in _RIGHTS}


def _date(value: str) -> str | None:
    """Return an ISO 8601 date or time, which compares as text; `None` for what is no date."""
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    return value if len(value) == len("2026-01-31") else moment.isoformat()


def texts(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of redacted text that an item's metadata makes.

    What describes it is one row; a `transcript` is cut into passages, whose times are not known.
    """
    if item["deleted"]:
        return []
    parts = [item[key] for key in ("title", "description", "alt") if item[key]]
    parts += [", ".join(item["tags"])] if item["tags"] else []
    about = [". ".join(part.strip().rstrip(".") for part in parts) + "."] if parts else []
    spoken = enumerate(split_text(item["transcript"] or ""))
    return [_text(item, "", "meta", text) for text in about] + [
        _text(item, f"@transcript-{number:03d}", "transcript", text) for number, text in spoken
    ]


def _text(item: Mapping[str, Any], part: str, source: str, text: str) -> dict[str, Any]:
    return {
        "key": f"{item['item_id']}#{SEGMENT}{part}",
        "item_id": item["item_id"],
        "batch": item["batch"],
        "segment": SEGMENT,
        "source": source,
        "text": text,
        "text_hash": digest(text),
        "model": "metadata",
        "recipe": f"{version()}-{digest(text)}",
    }

"""Describing a set: uploaded pictures, and indexed items by the captions and texts on record."""

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Any

from pipelines.answering.describing import Pictured, describe, look
from pipelines.answering.passages import place_of, read_passages
from pipelines.answering.steps import Steps, shown_now
from pipelines.errors import BadInput
from pipelines.rights import Caller
from pipelines.search.asked.media import Upload
from pipelines.search.engines.lance import both, condition
from pipelines.search.engines.protocol import PLACE
from pipelines.search.kept import Document
from pipelines.search.service import SearchService
from pipelines.search.views import View
from pipelines.tables.facts import equals_any

MOST_PICTURES = 8
"""So many uploads and items make one set."""

_TOLD = ("story", "caption")  # sources of texts about what is seen, each with its channel
_MOST = 500
_TIMEOUT = dt.timedelta(seconds=10)
_SAID = 3  # captions of one item


async def describe_set(
    service: SearchService,
    uploads: Sequence[Upload],
    item_ids: Sequence[str],
    caller: Caller | None = None,
) -> Document | None:
    """Describe pictures and indexed items together, at most eight; `None` for an unseen item.

    `pictures` are numbered: uploads first, then items. Raises BadInput for a set that is empty or
    too large, and where there is nothing to say of any of them.
    """
    if not 0 < len(uploads) + len(item_ids) <= MOST_PICTURES:
        raise BadInput(f"give 1 to {MOST_PICTURES} pictures and items")
    steps = Steps()

    async def ask(view: View) -> Document | None:
        if await shown_now(service, item_ids, caller) != set(item_ids):
            return None
        with steps.step("look"):
            settings = view.searcher.settings
            pictures = [await asyncio.to_thread(look, each, settings) for each in uploads]
        with steps.step("read"):
            pictures += await pictured_items(view, item_ids)
        with steps.step("verify"):
            if await shown_now(service, item_ids, caller) != set(item_ids):
                return None
        told = _document(pictures)
        release = view.searcher.manifest.release
        return {"release": release, **told, "trace": steps.as_document()}

    document: Document | None = await service.reading(ask, caller)
    return document


def _document(pictures: Sequence[Pictured]) -> Document:
    """Write a description; raises BadInput where there is none."""
    sentences = describe(pictures)
    degraded = [
        {"input": f"picture {number}", "reason": reason}
        for number, picture in enumerate(pictures, start=1)
        for reason in picture.missing
    ]
    if not sentences:
        raise BadInput("; ".join(f"{each['input']}: {each['reason']}" for each in degraded))
    nothing = {"item_id": None, "uri": None, "title": None, "kind": None}
    return {
        "description": " ".join(sentence["text"] for sentence in sentences),
        "sentences": sentences,
        "pictures": [
            {"number": number, "caption": each.caption, "text": each.text, **(each.item or nothing)}
            for number, each in enumerate(pictures, start=1)
        ],
        "degraded": degraded,
    }


async def pictured_items(view: View, item_ids: Sequence[str]) -> list[Pictured]:
    """Return what a release tells of some items, in their order; one it does not hold is empty.

    A film is told by its story, another item by its first captions.
    """
    rows = await _rows(view, item_ids)
    passages = await read_passages(view, item_ids)
    captions = await asyncio.to_thread(_captions, view, rows)
    pictured = []
    for item_id in item_ids:
        own = [row for row in rows if row["item_id"] == item_id]
        read = [each for each in passages if each.item_id == item_id]
        told = captions.get(item_id, [])
        place: dict[str, Any] | None = own[0] if own else vars(read[0]) if read else None
        texts = dict.fromkeys(each.text for each in read if each.source == "ocr")
        item = {name: place and place[name] for name in ("uri", "title", "kind")}
        pictured.append(
            Pictured(
                ", then ".join(told) or None, "\n".join(texts) or None, {"item_id": item_id, **item}
            )
        )
    return pictured


async def _rows(view: View, item_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the release's rows of captions and stories, which a caller may see."""
    await view.searcher.tables.open()
    where = both(condition(view.allowed), equals_any("item_id", item_ids))
    found: list[dict[str, Any]] = []
    for channel in _TOLD:
        if (table := view.searcher.tables.tables.get(channel)) is not None:
            query = table.query().where(where).limit(_MOST).select(["key", *PLACE])
            found += (await query.to_arrow(timeout=_TIMEOUT)).to_pylist()
    return sorted(found, key=place_of)


def _captions(view: View, rows: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Return captions by item id: the story where there is one, else the first different ones."""
    keys = {row["key"] for row in rows}
    if not keys:
        return {}
    of_items = equals_any("item_id", {row["item_id"] for row in rows})
    texts = view.searcher.store.texts.rows(
        ["key", "item_id", "source", "segment", "page", "start_s", "text"],
        f"{equals_any('source', _TOLD)} AND {of_items}",
    )
    told: dict[str, list[str]] = {}
    for source in _TOLD:
        chosen = (row for row in texts if row["source"] == source and row["key"] in keys)
        by_item: dict[str, dict[str, None]] = {}
        for row in sorted(chosen, key=place_of):
            if row["text"]:
                by_item.setdefault(row["item_id"], {})[row["text"].rstrip(".")] = None
        for item_id, different in by_item.items():
            told.setdefault(item_id, list(different)[:_SAID])
    return told

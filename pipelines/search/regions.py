"""Where in a picture or page the words of a query stand: boxes of what was read there."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.search.words import terms
from pipelines.store import Store
from pipelines.tables.facts import equals_any

_MOST = 50  # boxes of one item


def regions(store: Store, results: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return boxes of the matched words by item, for results whose words were read in pixels.

    A box is left, top, width and height as shares of the picture's sides; `segment` names the page.
    """
    wanted = {
        result["item_id"]: set(terms(" ".join(result["matched"])))
        for result in results
        if result["matched"] and result["kind"] in ("image", "document", "video")
    }
    if not wanted:
        return {}
    of_items = equals_any("item_id", wanted)
    sizes = {
        (row["item_id"], row["segment"]): (row["width"], row["height"])
        for row in store.segments.rows(["item_id", "segment", "width", "height"], of_items)
    }
    read = store.texts.rows(["item_id", "segment", "words"], f"source = 'ocr' AND {of_items}")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(read, key=lambda row: (row["item_id"], row["segment"])):
        width, height = sizes.get((row["item_id"], row["segment"]), (None, None))
        boxes = found.setdefault(row["item_id"], [])
        for word, left, top, wide, high, _ in json.loads(row["words"] or "[]"):
            if width and height and wanted[row["item_id"]].intersection(terms(word)):
                box = [left / width, top / height, wide / width, high / height]
                boxes.append({"word": word, "segment": row["segment"], "box": box})
    return {item_id: boxes[:_MOST] for item_id, boxes in found.items() if boxes}

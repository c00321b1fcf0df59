"""Where matched words stand in a picture."""

import json
from pathlib import Path

import pytest

from pipelines.search.regions import regions
from pipelines.store import Store


def result(item_id: str, kind: str, *matched: str) -> dict[str, object]:
    return {"item_id": item_id, "kind": kind, "matched": list(matched)}


def test_boxes_of_matched_words_are_shares_of_the_picture(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    words = [["Garden", 10, 20, 40, 10, 0.9], ["shoes,", 60, 20, 20, 10, 0.9]]
    for item in ("sign", "other"):
        page = {"key": f"{item}#page-1", "item_id": item, "segment": "page-1"}
        store.segments.append([page | {"kind": "page", "width": 200, "height": 100}])
        store.texts.append([page | {"source": "ocr", "words": json.dumps(words)}])
    asked = [result("sign", "document", "shoe"), result("other", "audio", "shoe")]
    assert regions(store, asked) == {
        "sign": [
            {"word": "shoes,", "segment": "page-1", "box": pytest.approx([0.3, 0.2, 0.1, 0.1])}
        ]
    }
    assert regions(store, [result("sign", "document")]) == {}

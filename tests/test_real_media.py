"""Real photographs and receipts: found by what they show and say, redone only on change."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from running import bytes_below, mediadex, needs_media

from pipelines.channels import CHANNELS

pytestmark = pytest.mark.slow


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_captions_find_their_photos_and_a_change_redoes_one(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(needs_media("photos"), photos)
    home = tmp_path / "home"
    report = mediadex(home, "index", str(photos))
    assert report["items"]["new"] == report["encoded"]["visual"] == 176

    queries = tmp_path / "queries.jsonl"
    with queries.open("w") as file:
        for row in rows(photos / "captions.jsonl"):
            if "caption" in row:
                query = {"query": row["caption"], "relevant": {row["file"]: 1}}
                file.write(json.dumps(query) + "\n")
    scores = mediadex(home, "evaluate", str(queries))
    assert scores["queries"] == 26
    assert scores["channels"]["visual"]["recall@10"] >= 0.90
    best = max(channel["recall@10"] for channel in scores["channels"].values())
    assert scores["fused"]["recall@10"] >= best

    changed = photos / "coco" / "000000000790.jpg"
    with Image.open(changed) as image:
        lighter = image.point(lambda value: min(255, value + 1))
    lighter.save(changed, quality=97)
    again = mediadex(home, "index", str(photos))
    assert again["items"] == {"new": 0, "changed": 1, "deleted": 0, "unchanged": 175}
    # The caption comes out the same, so nothing made from it moves.
    assert again["encoded"] == dict.fromkeys(CHANNELS, 0) | {"visual": 1}

    changed.unlink()
    gone = mediadex(home, "index", str(photos))
    assert gone["items"]["deleted"] == 1
    found = mediadex(home, "search", "a family at a table with a cake", "-k", "200")
    assert len(found["results"]) == 175


def test_receipts_hold_no_number_to_call_and_are_found_by_shop(tmp_path: Path) -> None:
    documents = needs_media("documents")
    home = tmp_path / "home"
    mediadex(home, "index", str(documents))
    private = [
        finding["value"]
        for row in rows(documents / "text.jsonl")
        for finding in row["weak_pii"]
        if finding["type"] in {"phone", "email"}
    ]
    assert len(private) > 15
    assert bytes_below(home, private) == {}
    from pipelines.store import Store

    kept = json.dumps(Store(str(home)).texts.rows(["text", "words"])).lower()
    assert [value for value in private if value.lower() in kept] == []
    answer = mediadex(home, "search", "lian hing stationery", "-k", "2")
    assert {Path(result["uri"]).name for result in answer["results"]} == {
        "sroie_073.jpg",
        "sroie_625.jpg",
    }

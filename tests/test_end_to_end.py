"""The main job as a user does it: index, search, status, evaluate, on the samples."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from running import SAMPLES, bytes_below, mediadex, mediadex_alone

from pipelines.channels import CHANNELS
from pipelines.store import Store
from pipelines.tables.schemas import FACTS

pytestmark = pytest.mark.slow

Indexed = tuple[Path, dict[str, Any]]


def planted() -> list[str]:
    """Each planted value, as it is written and, where it is spoken, as it is said."""
    rows = map(json.loads, (SAMPLES / "planted.jsonl").read_text().splitlines())
    return sorted({row[key] for row in rows for key in ("value", "said") if key in row})


def test_index_reports_the_contract(samples_home: Indexed) -> None:
    _, report = samples_home
    assert set(report) == {"release", "items", "encoded", "outcomes", "seconds"}
    assert report["release"]
    assert report["items"]["new"] == report["outcomes"]["ok"] > 40
    assert set(report["encoded"]) == set(CHANNELS)
    few = {"transcript": 3, "audio": 4, "video": 1, "story": 1}
    assert {name: rows for name, rows in report["encoded"].items() if rows <= 10} == few
    assert report["outcomes"]["failed"] == report["outcomes"]["quarantined"] == 0


def test_second_index_encodes_nothing(samples_home: Indexed) -> None:
    home, first = samples_home
    again = mediadex_alone(home, "index", str(SAMPLES))
    assert set(again["encoded"].values()) == {0}
    assert again["release"] == first["release"]
    assert again["items"]["unchanged"] == first["items"]["new"]
    assert again["items"]["new"] == again["items"]["changed"] == again["items"]["deleted"] == 0
    assert again["seconds"] < first["seconds"] / 5


def test_search_answers_by_the_contract(samples_home: Indexed) -> None:
    home, indexed = samples_home
    answer = mediadex_alone(home, "search", "storm umbrella", "-k", "3")
    assert answer["release"] == indexed["release"]
    assert answer["results"][0]["uri"].endswith("products/umbrella.jpg")
    for result in answer["results"]:
        assert sum(result["channels"].values()) == pytest.approx(result["score"], abs=1e-9)


def test_search_by_picture_finds_it(samples_home: Indexed) -> None:
    home, _ = samples_home
    picture = str(SAMPLES / "photos" / "flower.jpg")
    assert mediadex(home, "search", "--image", picture)["results"][0]["uri"].endswith("flower.jpg")


def test_filter_applies_before_the_cut(samples_home: Indexed) -> None:
    home, _ = samples_home
    results = mediadex(home, "search", "storm umbrella", "-k", "2", "--where", "kind = 'document'")
    kinds = [Path(result["uri"]).suffix for result in results["results"]]
    assert kinds == [".pdf", ".pdf"]


def test_text_in_pixels_is_found_with_its_page(samples_home: Indexed) -> None:
    home, _ = samples_home
    best = mediadex(home, "search", "studio rent per month")["results"][0]
    assert best["uri"].endswith("studio_lease.pdf")
    assert best["segment"]["page"] >= 1


def test_words_are_found_where_they_are_said(samples_home: Indexed) -> None:
    home, _ = samples_home
    best = mediadex(home, "search", "water the plants on monday")["results"][0]
    assert best["uri"].endswith("recordings/closing_note.mp3")
    assert best["channels"]["transcript"] > 0
    assert 0 <= best["segment"]["start_s"] < best["segment"]["end_s"] <= 8.5
    assert best["segment"]["link"].startswith(f"{best['uri']}#t=")


def test_a_film_finds_itself_before_what_it_shows(samples_home: Indexed) -> None:
    home, _ = samples_home
    film = str(SAMPLES / "films" / "shop_tour.mp4")
    best = mediadex(home, "search", "--video", film)["results"][0]
    assert best["uri"].endswith("films/shop_tour.mp4") and best["channels"]["video"] > 0


def test_evaluation_fused_is_not_worse_than_any_channel(samples_home: Indexed) -> None:
    home, _ = samples_home
    report = mediadex(home, "evaluate", str(SAMPLES / "queries.jsonl"))
    best = max(channel["recall@10"] for channel in report["channels"].values())
    assert report["fused"]["recall@10"] >= max(best, 0.9)


def test_no_planted_value_is_in_any_byte(samples_home: Indexed) -> None:
    home, _ = samples_home
    assert bytes_below(home, planted()) == {}


def test_no_planted_value_is_in_any_row(samples_home: Indexed) -> None:
    """Parquet is compressed, so bytes alone prove little: read every row, whatever its spacing."""
    home, _ = samples_home
    store = Store(str(home))
    rows = [row for name in FACTS for row in getattr(store, name).rows()]
    rows += store.passages.rows(["text", "title", "extra", "uri"])
    kept = re.sub(r"[\W_]", "", json.dumps(rows, default=str, ensure_ascii=False).lower())
    squeezed = {value: re.sub(r"[\W_]", "", value.lower()) for value in planted()}
    assert [value for value, plain in squeezed.items() if plain in kept] == []


def test_no_planted_value_is_left_in_the_pixels(samples_home: Indexed) -> None:
    from pipelines.reading.ocr import TesseractReader
    from pipelines.steps.inputs import open_picture

    home, _ = samples_home
    store = Store(str(home))
    showing = {
        row["item_id"]
        for row in store.items.rows(["item_id", "origins"])
        if re.search("/(badges|films)/", row["origins"][0]["uri"])
    }
    reader = TesseractReader()
    read = [
        re.sub(r"\W", "", reader.read(open_picture(store, row["derivative"])).text.lower())
        for row in store.segments.rows(["item_id", "derivative"])
        if row["item_id"] in showing and row["derivative"].endswith(".jpg")
    ]
    assert len(read) == 4 + 7, "badges, and keyframes of the film"
    for value in planted():
        assert not any(re.sub(r"\W", "", value.lower()) in text for text in read), value


def test_every_vector_names_its_model(samples_home: Indexed) -> None:
    home, _ = samples_home
    store = Store(str(home))
    manifest = json.loads(store.releases.rows(["manifest"])[0]["manifest"])
    for name, version in manifest["channels"].items():
        assert version["identity"]["weights"] or name == "audio", "statistics have no weights"
        table = store.channel(name, _identity(version["identity"]))
        stored = {row["identity"] for row in table.rows(["identity"])}
        assert [json.loads(identity) for identity in stored] == [version["identity"]]


def _identity(fields: dict[str, Any]) -> Any:
    from pipelines.models.protocols import Identity

    return Identity(**fields)


def test_status_lists_channels_and_outcomes(samples_home: Indexed) -> None:
    home, report = samples_home
    state = mediadex(home, "status")
    assert state["release"] == report["release"]
    assert {row["channel"] for row in state["channels"]} == set(CHANNELS)
    assert state["counts"] == report["outcomes"]
    skipped = mediadex(home, "status", "--failed")
    assert all(row["status"] == "skipped" and row["reason"] for row in skipped)

import json
from typing import Any

import pytest

from pipelines.catalog import metadata
from pipelines.errors import BadInput
from pipelines.privacy.pii import Detector


@pytest.fixture
def detector(home: Any) -> Any:
    return home.detector


def test_known_keys_become_columns_and_all_others_are_kept() -> None:
    row = metadata.columns(
        {
            "item_id": "x-1",
            "title": "A",
            "owner": "Design",
            "tags": "red, blue,,",
            "published_at": "2026-01-31",
            "season": 3,
            "nested": {"b": [1], "a": None},
        }
    )
    assert (row["title"], row["owner"], row["tags"]) == ("A", "Design", ["red", "blue"])
    assert row["published_at"] == "2026-01-31"
    assert row["description"] is None and "item_id" not in row
    assert json.loads(row["extra"]) == {"season": 3, "nested": {"b": [1], "a": None}}


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31 12:00", "2026-01-31T12:00:00"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00+00:00"),
        ("soon", None),
    ],
)
def test_dates_are_stored_so_that_they_compare_as_text(value: str, stored: str | None) -> None:
    assert metadata.columns({"consent_expires": value})["consent_expires"] == stored


@pytest.mark.parametrize(
    ("tags", "stored"),
    [(["a", " b "], ["a", "b"]), ([1, ""], ["1"]), (7, ["7"]), ("", []), ([], []), (None, [])],
)
def test_tags_of_any_type_are_a_list_of_words(tags: Any, stored: list[str]) -> None:
    given = {} if tags is None else {"tags": tags}
    assert metadata.columns(given)["tags"] == stored


def test_values_of_known_keys_that_are_no_text_become_text() -> None:
    assert metadata.columns({"title": 7, "owner": {"team": "é"}})["owner"] == '{"team": "é"}'


def test_private_data_is_masked_wherever_it_stands(detector: Any) -> None:
    clean, findings = metadata.redact_metadata(
        {
            "title": "Mail a@b.com",
            "tags": ["123-45-6789", "red"],
            "custom": {"x@y.org": ["c@d.net"]},
        },
        detector,
    )
    assert clean == {
        "title": "Mail <EMAIL_ADDRESS>",
        "tags": ["<US_SSN>", "red"],
        "custom": {"<EMAIL_ADDRESS>": ["<EMAIL_ADDRESS>"]},
    }
    assert [(row["entity"], row["place"]) for row in findings] == [
        ("EMAIL_ADDRESS", '{"field": "title"}'),
        ("US_SSN", '{"field": "tags"}'),
        ("EMAIL_ADDRESS", '{"field": "custom"}'),
    ]


def test_an_item_id_that_is_private_is_refused(detector: Any) -> None:
    with pytest.raises(BadInput, match="item_id holds personal data"):
        metadata.redact_metadata({"item_id": "a@b.com"}, detector)


@pytest.mark.slow
def test_names_are_masked_everywhere_but_in_keys_of_a_fixed_vocabulary() -> None:
    said = {"description": "Portrait of Mr. John Smith", "owner": "John Smith", "by": "John Smith"}
    clean, _ = metadata.redact_metadata({**said, "domain": "John Smith"}, Detector())
    assert clean == {
        "description": "Portrait of <PERSON>",
        "owner": "<PERSON>",
        "by": "<PERSON>",
        "domain": "John Smith",
    }


def test_consent_must_end_on_a_date() -> None:
    with pytest.raises(BadInput, match="consent_expires"):
        metadata.redact_metadata({"consent_expires": "soon"}, Detector())


def item(**said: Any) -> dict[str, Any]:
    return {"item_id": "i", "batch": "b", "deleted": False, **metadata.columns(said)}


def test_what_is_said_becomes_one_searchable_text() -> None:
    [row] = metadata.texts(item(title="A mug.", alt="red", tags=["x", "y"]))
    assert (row["key"], row["text"]) == ("i#meta", "A mug. red. x, y.")
    assert metadata.texts(item(owner="nobody says more")) == []
    assert metadata.texts(item(title="gone") | {"deleted": True}) == []


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("Region", "region"),
        ("Access", "access"),
        ("Consent", "consent"),
        ("consent ", "consent"),
        ("\ufeffregion", "region"),
        ("consentExpires", "consent_expires"),
        ("Consent-Expires", "consent_expires"),
    ],
)
def test_a_right_that_is_spelled_otherwise_is_refused(detector: Any, key: str, meant: str) -> None:
    with pytest.raises(BadInput, match=f"write the key {meant} "):
        metadata.redact_metadata({key: "eu"}, detector)


def test_keys_that_only_hold_the_name_of_a_right_are_kept(detector: Any) -> None:
    told = {"regional": "eu", "region_code": "7", "Accessory": "strap", "region": "eu"}
    assert metadata.redact_metadata(told, detector)[0] == told

"""One item with several origins: the strictest of what governs holds, whoever was read first."""

import datetime as dt
import itertools
import json
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.catalog import metadata
from pipelines.catalog.merging import merged
from pipelines.outcomes import now
from pipelines.rights import Caller, condition, governed

REGIONS = ["eu", "EU ", "us", "global", " ", "no\nwhere"]
CONSENTS = ["granted", "Refused", "yes", "withdrawn "]
EXPIRIES = ["2020-01-31", "2099-01-31", "2099-01-31T00:00:00", "2099-01-31T01:00:00+02:00"]
GROUPS = [["press"], ["sales"], ["hr", "press"], ["hr", "sales", "press"], "press, hr", ["no\none"]]
SAYINGS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["A", "B"]),
        "tags": st.sampled_from([["x"], ["y", "z"]]),
        "usage_rights": st.sampled_from(["own", "licensed"]),
        "price": st.sampled_from([1, 2]),
        "stock": st.sampled_from([3, 4]),
        "region": st.sampled_from(REGIONS),
        "access": st.sampled_from(GROUPS),
        "consent": st.sampled_from(CONSENTS),
        "consent_expires": st.sampled_from(EXPIRIES),
    },
)
ROWS = SAYINGS.map(metadata.columns)
GOVERNING = ("access", "region", "consent", "consent_expires")
CALLERS = [
    None,
    Caller(),
    *(
        Caller(region=region, groups=frozenset(groups))
        for region in ("eu", "us")
        for groups in ([], ["press"], ["hr"], ["press", "sales"])
    ),
]


def governs(row: dict[str, Any]) -> dict[str, Any]:
    """What of a row governs it, spelled as rights read it."""
    plain = {name: row[name] for name in GOVERNING}
    return plain | {"region": row["region"] and row["region"].strip(" ").lower()}


@settings(max_examples=50, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4), st.randoms())
def test_in_which_order_and_grouping_origins_are_met_does_not_count(
    rows: list[dict[str, Any]], chance: Any
) -> None:
    whole = merged(rows)
    assert whole == reduce(lambda before, row: merged([before, row]), rows)
    assert whole == merged([*rows[:1], merged(rows)])
    assert merged([whole, whole]) == whole and merged([whole, *rows]) == whole
    mixed = chance.sample(rows, len(rows))
    assert governs(merged(mixed)) == governs(whole) and merged(rows * 2) == whole


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pairs=st.lists(st.tuples(ROWS, ROWS), min_size=8, max_size=30))
def test_another_origin_never_lets_anybody_see_more(
    new_home: Callable[[], Any], pairs: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    items = new_home().store.items
    items.append(
        [
            row | {"item_id": f"{number}/{which}", "batch": "b", "deleted": False}
            for number, (one, other) in enumerate(pairs)
            for which, row in {"one": one, "other": other, "both": merged([one, other])}.items()
        ]
    )
    for caller in CALLERS:
        allowed = f"{condition(caller) or 'true'} AND {governed(now())}"
        shown = set(items.read(["item_id"], allowed)["item_id"].to_pylist())
        for number in range(len(pairs)):
            if f"{number}/both" in shown:
                assert {f"{number}/one", f"{number}/other"} <= shown


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_who_is_in_no_group_of_all_sees_nothing(order: tuple[int, ...]) -> None:
    said = [{"access": ["press", "hr"]}, {"access": "sales,hr"}, {"access": ["sales", "press"]}]
    row = merged([metadata.columns(said[place]) for place in order])
    # No caller can name this group, and it does not read as a list without names.
    assert row["access"] == ["no\none"]
    with pytest.raises(ValueError, match="printed"):
        Caller(groups=frozenset(row["access"]))


def test_consent_ends_with_the_day_or_time_that_comes_first() -> None:
    def ends(*given: str) -> str | None:
        rows = [metadata.columns({"consent_expires": each} if each else {}) for each in given]
        return merged(rows)["consent_expires"]

    assert ends("2027-01-31", "2027-01-31T23:00:00") == "2027-01-31T23:00:00"
    assert ends("2027-02-01T00:30:00+02:00", "2027-01-31") == "2027-02-01T00:30:00+02:00"
    assert ends("", "2027-01-31") == "2027-01-31" and ends("", "") is None
    assert ends("9999-12-31", "9999-12-31T23:59:59") is not None
    assert dt.date.fromisoformat(ends("2028-01-01", "2027-06-01") or "") == dt.date(2027, 6, 1)


def test_all_else_is_what_the_first_says_key_by_key() -> None:
    first = metadata.columns({"title": "A", "price": 1, "tags": ["x"]})
    second = metadata.columns({"title": "B", "alt": "b", "price": 2, "stock": 4, "tags": ["y"]})
    row = merged([first, second])
    assert (row["title"], row["alt"], row["tags"]) == ("A", "b", ["x"])
    assert json.loads(row["extra"]) == {"price": 1, "stock": 4}


# --- In a home -----------------------------------------------------------------------------------

CLOSED = {"title": "Pay", "access": ["hr"], "region": "eu", "consent": "refused"}
OPEN = {"title": "A paper", "alt": "A page"}


def put(home: Any, folder: str, said: dict[str, Any] | None) -> None:
    home.write(f"{folder}/paper.txt", "The same bytes.")
    row = {"file_name": "paper.txt", **(said or {})}
    home.write(f"{folder}/metadata.jsonl", json.dumps(row))


def scan(home: Any, *folders: str) -> dict[str, Any]:
    for folder in folders:
        home.ingest(str(home.raw / folder))
    [item] = home.store.items.rows(where="deleted = false")
    return {name: item[name] for name in ("title", "alt", *GOVERNING)}


STRICT = {"access": ["hr"], "region": "eu", "consent": "refused", "consent_expires": None}


@pytest.mark.parametrize("sources", [["."], ["a", "b"], ["b", "a"], ["a", "b", "a"]])
@pytest.mark.parametrize("closed", ["a", "b"])
def test_a_copy_that_is_for_all_opens_nothing_in_whichever_folder_it_lies(
    home: Any, closed: str, sources: list[str]
) -> None:
    for folder in "ab":
        put(home, folder, CLOSED if folder == closed else OPEN)
    row = scan(home, *sources)
    assert row == STRICT | {"title": "Pay" if closed == "a" else "A paper", "alt": "A page"}


@pytest.mark.parametrize("sources", [["."], ["a", "b"]])
def test_without_its_stricter_origin_an_item_is_what_the_others_say(
    home: Any, sources: list[str]
) -> None:
    put(home, "a", CLOSED)
    put(home, "b", OPEN)
    scan(home, *sources)
    (home.raw / "a/paper.txt").unlink()
    assert scan(home, *sources) == dict.fromkeys(GOVERNING) | OPEN
    put(home, "a", CLOSED)
    assert scan(home, *sources) == STRICT | {"title": "Pay", "alt": "A page"}
    put(home, "a", {"title": "Pay"})
    assert scan(home, *sources) == dict.fromkeys(GOVERNING) | {"title": "Pay", "alt": "A page"}


@pytest.mark.parametrize("said", ["{broken", '{"file_name": "paper.txt", "title": "New"}'])
def test_while_it_is_not_known_what_an_origin_says_its_item_stays_closed(
    home: Any, said: str
) -> None:
    put(home, "a", CLOSED)
    put(home, "b", OPEN)
    scan(home, "a", "b")
    home.write("a/metadata.jsonl", said)
    put(home, "b", {"title": "Another", "access": ["press"]})
    row = scan(home, "b")
    assert row == STRICT | {"access": ["no\none"], "title": "Another", "alt": "A page"}


def test_a_copy_that_says_nothing_opens_nothing_and_closes_nothing(home: Any) -> None:
    put(home, "a", CLOSED)
    home.write("b/paper.txt", "The same bytes.")
    assert scan(home, "a", "b", "a") == STRICT | {"title": "Pay", "alt": None}


def test_findings_of_all_that_is_said_are_kept_once(home: Any) -> None:
    for folder in "ab":
        put(home, folder, {"title": "Ask ana@example.org"})
    scan(home, "a", "b")
    assert [row["entity"] for row in home.store.findings.rows()] == ["EMAIL_ADDRESS"]
    (home.raw / "a/paper.txt").unlink()
    assert scan(home, "a")["title"].startswith("Ask ")
    assert len(home.store.findings.rows()) == 1

"""Rights: who may see which rows, the same in LanceDB and in the table of items."""

import datetime as dt
import hmac
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from asking import TEXTS, Row, may_see, random_filter

from pipelines.catalog import metadata
from pipelines.errors import BadInput, MediadexError
from pipelines.rights import Caller, condition, fingerprint, governed, pseudonym, secret_of
from pipelines.search.asked.filters import compile_filter
from pipelines.tables.facts import FactTable, select
from pipelines.tables.schemas import ATTRIBUTES

NOW = dt.datetime(2026, 3, 1, 12, 0, 30, tzinfo=dt.UTC)
REGIONS = (None, "", " ", "eu", "EU", " Eu ", "us", "Global", "GLOBAL ", "o'k", "İΣ", "eu\u200b")
ACCESS = (None, [], ["press"], ["sales", "o'k"], ["Press"], [""], ["eu", "x' OR 1=1 --"])
GROUPS = ("press", "sales", "o'k", "PRESS", "x' OR 1=1 --", "naïve 😀")
CONSENT: dict[str | None, bool] = {
    None: True,
    "": True,
    "valid": True,
    "granted": True,
    "Withdrawn ": False,
    "denied": False,
    "expired": False,
    "false": False,
}
EXPIRES: dict[str | None, bool] = {
    None: True,
    "2027-01-31": True,
    "2026-03-01": True,
    "2026-02-28": False,
    "2026-03-01T12:01:01": True,
    "2026-03-01T12:00:00": False,
    "2026-03-01T14:30:00+00:00": True,
    "2026-03-01T14:00:00+02:00": False,
    "2026-03-01T11:30:00-01:00": True,
    "2027-W05-1": False,
}


class Tables(NamedTuple):
    rows: list[Row]
    searched: Any
    facts: FactTable


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The same rows searched and as facts: all regions with all groups, the rest at random."""
    import lancedb

    random = Random(4)
    rows: list[Row] = []
    for region, access in itertools.product(REGIONS, ACCESS):
        for _ in range(3):
            price = random.choice((None, 7, 7.5, "7.5", "cheap", True, '{"eur": 1}'))
            extra = {"note": random.choice((*TEXTS, None, 5)), "price": price}
            extra["flag"] = random.choice((True, False, "true", "no", 1, None))
            rows.append(
                dict.fromkeys(ATTRIBUTES.names)
                | {
                    "region": region,
                    "access": access,
                    "title": random.choice((None, "", *TEXTS)),
                    "tags": random.choice((None, [], random.sample(TEXTS, 2))),
                    "width": random.choice((None, 0, 7, 640)),
                    "size": random.choice((None, 1, 2**31, 2**40)),
                    "consent": random.choice([*CONSENT]),
                    "consent_expires": random.choice([*EXPIRES]),
                    "extra": random.choice((None, extra, extra)),
                }
            )
    folder = tmp_path_factory.mktemp("rights")
    arrays = {
        field.name: pa.array([row[field.name] for row in rows], field.type)
        for field in ATTRIBUTES
        if field.name != "extra"
    }
    arrays["item_id"] = pa.array([str(number) for number in range(len(rows))])
    facts = FactTable(str(folder / "items"), pa.table(arrays).schema)
    facts.append(pa.table(arrays).to_pylist())
    extras = pa.array([row["extra"] and json.dumps(row["extra"]) for row in rows], pa.string())
    arrays["extra"] = pa.ExtensionArray.from_storage(pa.json_(), extras)
    vectors = [[float(number % 7), 1.0] for number in range(len(rows))]
    arrays["vector"] = pa.array(vectors, pa.list_(pa.float32(), 2))
    searched = lancedb.connect(folder).create_table("searched", pa.table(arrays))
    return Tables(rows, searched, facts)


def consents(row: Row) -> bool:
    return CONSENT[row["consent"]] and EXPIRES[row["consent_expires"]]


def callers(random: Random) -> Iterator[Caller]:
    while True:
        groups = random.sample(GROUPS, random.choice((0, 0, 1, 2, 5)))
        region = random.choice((None, "eu", "EU", " us", "global", "o'k", "i̇Σ", "x' OR 1=1 --"))
        yield Caller(region=region, groups=frozenset(groups))


def searched(tables: Tables, where: str) -> set[int]:
    found = tables.searched.search([0.0, 1.0]).where(where).limit(len(tables.rows)).to_list()
    return {int(row["item_id"]) for row in found}


def in_facts(tables: Tables, where: str) -> set[int]:
    return {int(row["item_id"]) for row in tables.facts.rows(["item_id"], where)}


def test_each_caller_sees_what_is_for_the_region_and_the_groups(tables: Tables) -> None:
    assert condition(None) is None
    random = Random(5)
    for caller in [Caller(), *itertools.islice(callers(random), 12)]:
        where = condition(caller)
        assert where is not None
        expected = {n for n, row in enumerate(tables.rows) if may_see(caller, row)}
        assert 0 < len(expected) < len(tables.rows)
        assert searched(tables, where) == in_facts(tables, where) == expected


def test_who_does_not_consent_is_shown_to_nobody(tables: Tables) -> None:
    where = governed(NOW)
    expected = {n for n, row in enumerate(tables.rows) if consents(row)}
    assert 0 < len(expected) < len(tables.rows)
    assert searched(tables, where) == in_facts(tables, where) == expected
    assert governed(NOW.astimezone(dt.timezone(dt.timedelta(hours=5)))) == where
    assert governed(NOW + dt.timedelta(seconds=29)) == where
    assert governed(NOW + dt.timedelta(seconds=30)) != where


def test_ten_thousand_rights_with_filters_let_no_forbidden_row_through(tables: Tables) -> None:
    """40 callers with 250 of 1 000 filters each.

    A scan has the rights of one caller as its filter and tells for each row left what every one of
    the 250 filters says, as columns of booleans; some are asked as searches ask. Filters on keys of
    `extra` run in LanceDB only, which can read JSON.
    """
    random = Random(6)
    filters = [(asked := random_filter(random), compile_filter(asked.text)) for _ in range(1_000)]
    matched = {asked.text: [asked.says(row) is True for row in tables.rows] for asked, _ in filters}
    data = tables.searched.to_lance()
    cases = answered = in_both = 0
    for caller in itertools.islice(callers(random), 40):
        rights = f"{condition(caller)} AND {governed(NOW)}"
        visible = [n for n, row in enumerate(tables.rows) if may_see(caller, row) and consents(row)]
        group = random.sample(filters, 250)
        expected = [[matched[asked.text][n] for n in visible] for asked, _ in group]
        columns = {"item_id": "item_id"} | {f"c{n}": where for n, (_, where) in enumerate(group)}
        found = data.to_table(columns=columns, filter=rights)
        assert read(found) == (visible, expected)
        cases += len(group)
        answered += sum(map(any, expected))

        portable = [n for n, (asked, _) in enumerate(group) if asked.portable]
        schema = pa.schema([("item_id", pa.string()), *((f"c{n}", pa.bool_()) for n in portable)])
        shown = ", ".join(f"{group[n][1]} AS c{n}" for n in portable)
        sql = f"SELECT item_id, {shown} FROM facts WHERE {rights}"
        found = select(sql, schema, facts=tables.facts)
        assert read(found) == (visible, [expected[n] for n in portable])
        in_both += len(portable)

        (asked, where), told = group[0], expected[0]
        hits = {n for n, yes in zip(visible, told, strict=True) if yes}
        assert searched(tables, f"({rights}) AND ({where})") == hits, asked.text
    assert cases == 10_000 and answered > 2_000 and in_both > 2_000


def read(found: pa.Table) -> tuple[list[int], list[list[bool]]]:
    """Return the rows of a scan, and what each of its other columns says of them."""
    found = found.take(pa.array(sorted(range(len(found)), key=lambda n: int(found[0][n].as_py()))))
    ids, *said = (column.to_pylist() for column in found.columns)
    return [int(item_id) for item_id in ids], [[one is True for one in each] for each in said]


@pytest.mark.parametrize(
    ("access", "stored"),
    [
        (["press", " sales ", "press"], ["press", "sales"]),
        ("sales, press,,", ["press", "sales"]),
        ([], None),
        ([" "], None),
        (" , ", None),
    ],
)
def test_access_is_a_list_of_groups(home: Any, access: Any, stored: list[str] | None) -> None:
    clean, findings = metadata.redact_metadata({"title": "T", "access": access}, home.detector)
    row = metadata.columns(clean)
    assert (row["access"], row["extra"], findings) == (stored, None, [])
    assert metadata.columns({})["access"] is None


@pytest.mark.parametrize("access", [5, True, {"press": 1}, ["press", 5], [["press"]], [None]])
def test_access_that_is_no_list_of_groups_is_refused(home: Any, access: Any) -> None:
    with pytest.raises(BadInput, match="no list of groups"):
        metadata.redact_metadata({"access": access}, home.detector)


def test_groups_named_by_personal_data_are_refused(home: Any) -> None:
    for access in ("press, a@b.com", ["123-45-6789"]):
        with pytest.raises(BadInput, match="personal data") as refused:
            metadata.redact_metadata({"access": access}, home.detector)
        assert "a@b.com" not in str(refused.value)


def test_a_release_without_the_column_lets_nobody_see_what_is_for_groups(tmp_path: Path) -> None:
    import lancedb

    extra = pa.array(['{"access": "press"}', '{"price": 1}', None], pa.string())
    columns = {
        "region": pa.array(["eu", "eu", None]),
        "extra": pa.ExtensionArray.from_storage(pa.json_(), extra),
        "n": pa.array(range(3)),
    }
    table = lancedb.connect(tmp_path).create_table("old", pa.table(columns))
    where = condition(Caller(region="eu", groups=frozenset({"press"})), table.schema.names)
    assert [row["n"] for row in table.search().where(where).to_list()] == [1, 2]


def test_fingerprints_are_of_rights_alone() -> None:
    ana = Caller(user="ana", region="EU", groups=frozenset({"a", "b"}))
    same = Caller(user="ben", region=" eu ", groups=frozenset({" b", "a"}), scopes=frozenset())
    assert fingerprint(ana) == fingerprint(same)
    others = [None, Caller(), Caller(region="eu"), Caller(region="us", groups=ana.groups)]
    others += [Caller(region="eu", groups=frozenset({group})) for group in ("a", "a', 'b", "a, b")]
    assert len({fingerprint(each) for each in (ana, *others)}) == len(others) + 1


def test_a_caller_is_read_from_json() -> None:
    assert Caller.of_json("{}") == Caller()
    told = '{"user": " ana ", "scopes": ["search"], "region": "eu", "groups": ["b", "a", "a"]}'
    caller = Caller.of_json(told)
    assert (caller.user, caller.scopes) == ("ana", frozenset({"search"}))
    assert (caller.region, caller.groups) == ("eu", frozenset({"a", "b"}))
    assert "ana" not in repr(caller)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "these fields alone"),
        ("null", "these fields alone"),
        ("[]", "these fields alone"),
        ('{"hunter2": 1}', "these fields alone"),
        ('{"groups": "hunter2"}', "groups"),
        ('{"groups": [["hunter2"]]}', "groups"),
        ('{"groups": [""]}', "groups"),
        ('{"groups": ["hunter2\\u0000"]}', "groups"),
        ('{"region": 5, "user": {}}', "region, user"),
        ('{"region": "\\ud800"}', "these fields alone"),
        (json.dumps({"region": "hunter2" * 40}), "region"),
        (json.dumps({"groups": [f"hunter2{n}" for n in range(300)]}), "groups"),
        ("[" * 30_000, "these fields alone"),
        ("x" * 70_000, "64000"),
    ],
)
def test_what_is_no_caller_is_refused_without_showing_it(text: str, named: str) -> None:
    with pytest.raises(BadInput, match=named) as refused:
        Caller.of_json(text)
    assert "hunter2" not in str(refused.value)
    if len(text) < 64_000:
        Caller.of_json(str(refused.value).partition("write ")[2])


def test_a_user_has_one_pseudonym_a_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: secret_of(home), range(32)))
    (secret,) = found
    assert len(secret) == 32 and (home / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == ["secret"]
    assert secret_of(home) == secret != secret_of(tmp_path / "other")
    assert pseudonym("ana", secret) == hmac.digest(secret, b"ana", "sha256").hex()[:16]
    (home / "secret").write_bytes(b"")
    with pytest.raises(MediadexError, match="damaged"):
        secret_of(home)

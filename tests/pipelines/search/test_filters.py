import json
import logging
import re
import time
from random import Random

import pytest
from asking import random_filter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import InvalidFilter
from pipelines.search.asked import filters
from pipelines.search.asked.filters import COLUMNS, MAX_DEPTH, MAX_LENGTH, compile_filter
from pipelines.tables.schemas import ATTRIBUTES

ROWS: list[dict] = [
    {
        "title": 'it\'s "raw"',
        "region": "eu",
        "tags": ["press", "o'clock"],
        "access": ["press", "sales"],
        "modalities": ["sound", "pictures"],
        "duration_s": 12.5,
        "width": 640,
        "size": 5_000_000_000,
        "published_at": "2024-03-01",
        "extra": {"color": "o'k", "price": 5, "flag": True, "a.b": "dot", "dc:title": "x"},
    },
    {
        "title": "back\\slash 100%",
        "region": "us",
        "tags": [],
        "access": [],
        "modalities": ["sound"],
        "duration_s": 3600.0,
        "width": 1920,
        "size": 10,
        "published_at": "2024-06-30",
        "extra": {"color": "New", "price": "cheap", "flag": "true", "my key": "v"},
    },
    {
        "title": "x' OR 1=1 --",
        "region": None,
        "tags": None,
        "width": None,
        "size": None,
        "published_at": None,
        "extra": {"color": None, "price": "7.5", "flag": False},
    },
    {
        "title": None,
        "region": "eu",
        "tags": ["launch"],
        "width": 100,
        "size": 0,
        "published_at": "2025-01-01",
        "extra": {"color": {"red": 1}, "price": {"eur": 1}, "flag": 1, "nested": {"a": "b"}},
    },
    {
        "title": "naïve 😀",
        "region": "apac",
        "tags": ["press", "launch"],
        "width": 641,
        "size": 2**40,
        "published_at": "2024-03-02",
        "extra": {"color": ["red"], "price": 12.5, "note": 'tab\there "q" 5%'},
    },
    {"title": "", "region": "", "tags": [""], "width": 0, "size": 1, "extra": None},
    {"title": "last", "tags": ["Press"], "extra": {"color": "New York", "price": "nan"}},
]


def make_table(path, rows):
    import lancedb
    import pyarrow as pa

    arrays = {
        name: pa.array([row.get(name) for row in rows], ATTRIBUTES.field(name).type)
        for name in COLUMNS
    }
    extra = [None if (value := row.get("extra")) is None else json.dumps(value) for row in rows]
    arrays["extra"] = pa.ExtensionArray.from_storage(pa.json_(), pa.array(extra, pa.string()))
    arrays["vector"] = pa.array(
        [[float(i), 1.0] for i in range(len(rows))], pa.list_(pa.float32(), 2)
    )
    arrays["n"] = pa.array(range(len(rows)))
    return lancedb.connect(path).create_table("items", pa.table(arrays))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("lance"), ROWS)


def found(table, expression):
    where = compile_filter(expression)
    plain = {row["n"] for row in table.search().where(where).limit(1000).to_list()}
    by_vector = table.search([0.0, 1.0]).where(where).limit(1000).to_list()
    assert {row["n"] for row in by_vector} == plain
    return plain


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # columns
        ("region = 'eu'", {0, 3}),
        ("REGION == 'eu'", {0, 3}),
        ("region != 'eu'", {1, 4, 5}),
        ("NOT (region = 'eu')", {1, 4, 5}),
        ("region <> 'eu' AND NOT region = ''", {1, 4}),
        ("region IN ('eu', 'us')", {0, 1, 3}),
        ("region NOT IN ('eu', 'us')", {4, 5}),
        ("region IS NULL", {2, 6}),
        ("region IS NOT NULL", {0, 1, 3, 4, 5}),
        ("region = 'eu' OR region = 'us' AND width < 5", {0, 3}),
        ("(region = 'eu' OR region = 'us') AND width > 500", {0, 1}),
        ("title = 'it''s \"raw\"'", {0}),
        ("title = 'back\\slash 100%'", {1}),
        ("title = 'x'' OR 1=1 --'", {2}),
        ("title LIKE '%a%'", {0, 1, 4, 6}),
        ("title LIKE '%100\\%'", {1}),
        ("title NOT LIKE '%a%'", {2, 5}),
        ("title LIKE 'na_ve _'", {4}),
        ("published_at >= '2024-03-02' AND published_at < '2025-01-01'", {1, 4}),
        ("published_at BETWEEN '2024-03-01' AND '2024-03-02'", {0, 4}),
        ("published_at NOT BETWEEN '2024-03-01' AND '2024-03-02'", {1, 3}),
        # numbers
        ("width >= 640", {0, 1, 4}),
        ("width < 640.5", {0, 3, 5}),
        ("width IN (640, 641.0)", {0, 4}),
        ("width > -1", {0, 1, 3, 4, 5}),
        ("width < 99999999999", {0, 1, 3, 4, 5}),
        ("width < 1e300", {0, 1, 3, 4, 5}),
        ("width = 2147483648", set()),
        ("size > 4999999999", {0, 4}),
        ("size BETWEEN 10 AND 5e9", {0, 1}),
        ("size = 99999999999999999999999999", set()),
        # tags
        ("tags = 'press'", {0, 4}),
        ("tags != 'press'", {1, 3, 5, 6}),
        ("CONTAINS(tags, 'o''clock')", {0}),
        ("contains(tags, '')", {5}),
        ("tags IN ('press', 'launch')", {0, 3, 4}),
        ("tags NOT IN ('press', 'launch')", {1, 5, 6}),
        ("tags IS NULL", {2}),
        # groups
        ("access = 'sales'", {0}),
        ("access != 'sales'", {1}),
        ("access IN ('sales', 'other') OR contains(access, 'x')", {0}),
        ("access IS NULL", {2, 3, 4, 5, 6}),
        # sound and video
        ("duration_s > 12", {0, 1}),
        ("duration_s <= 12.5", {0}),
        ("duration_s BETWEEN 60 AND 99999999999", {1}),
        ("duration_s IS NULL", {2, 3, 4, 5, 6}),
        ("modalities = 'pictures'", {0}),
        ("modalities IN ('sound', 'pictures') AND NOT modalities = 'pictures'", {1}),
        # metadata: text
        ("color = 'o''k'", {0}),
        ("color != 'o''k'", {1, 6}),
        ("NOT (color = 'o''k')", {1, 6}),
        ("color IN ('New', 'o''k')", {0, 1}),
        ("color NOT IN ('New')", {0, 6}),
        ("color LIKE 'New%'", {1, 6}),
        ("color LIKE '%red%'", set()),
        ("color < 'New York'", {1}),
        ("color BETWEEN 'New' AND 'New Z'", {1, 6}),
        ("color IS NULL", {2, 5}),
        ("color IS NOT NULL", {0, 1, 3, 4, 6}),
        ("color = '{\"red\": 1}'", set()),
        ("color = 'null'", set()),
        ("price = '5'", set()),
        ("note = 'tab\there \"q\" 5%'", {4}),
        ("note LIKE 'tab\there \"q\"%5\\%'", {4}),
        ("note LIKE '%\"q\" 6\\%'", set()),
        # metadata: numbers and booleans, also held as text
        ("price < 10", {0, 2}),
        ("price >= 7.5", {2, 4}),
        ("NOT (price < 10)", {4}),
        ("price IN (5, 12.5)", {0, 4}),
        ("price BETWEEN 5 AND 7.5", {0, 2}),
        ("color > 0", set()),
        ("flag = true", {0, 1}),
        ("flag != true", {2, 3}),
        ("flag IN (true, false)", {0, 1, 2}),
        ("flag = 1", {3}),
        # metadata: names
        ("a.b = 'dot'", {0}),
        ("\"a.b\" = 'dot'", {0}),
        ("nested.a = 'b'", set()),
        ("\"my key\" = 'v'", {1}),
        ("\"dc:title\" = 'x'", {0}),
        ("\"Region\" = 'eu'", set()),
        ("vector IS NULL", set(range(7))),
        ("missing = 'x' OR missing != 'x' OR NOT (missing > 1)", set()),
        # harmless attacks
        ("title = 'x'' OR 1=1 --' AND region IS NULL", {2}),
        ("color = '\"' OR color = '\\\"'", set()),
        ("title = '\u2019 OR 1=1 \uff07'", set()),
        ("\uff52\uff45\uff47\uff49\uff4f\uff4e = 'eu'", set()),
        ("\u212aind IS NULL", set(range(7))),
    ],
)
def test_rows(table, expression, expected):
    assert found(table, expression) == expected


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_is_accepted(table, name):
    value = 7 if COLUMNS[name] == "number" else "'x'"
    assert found(table, f"{name} = {value}") == set()


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("", "no condition"),
        ("  ", "no condition"),
        ("x' OR 1=1 --", "quote left open"),
        ("a = 'b'; DROP TABLE items", "`;`"),
        ("a = 'b';", "`;`"),
        ("; a = 'b'", "`;`"),
        ("a = 'b' -- c", "comments"),
        ("a /* c */ = 'b'", "comments"),
        ("a {# c #} = 'b'", "comments"),
        ("DROP TABLE items", ""),
        ("SELECT 1", ""),
        ("a = 1 LIMIT 5", ""),
        ("a = (SELECT 1)", "SELECT 1"),
        ("a IN (SELECT 1)", "SELECT 1"),
        ("a IN UNNEST(b)", "UNNEST"),
        ("EXISTS(SELECT 1)", "EXISTS"),
        ("lower(title) = 'x'", "LOWER(title)"),
        ("title = lower('X')", "LOWER('X')"),
        ("json_get_string(extra, 'a') = 'b'", "JSON_GET_STRING"),
        ("title = region", "`region`"),
        ('title = "x"', '`"x"`'),
        ("'x' = 'x'", "`'x'`"),
        ("1 = 1", "`1`"),
        ("TRUE", "TRUE"),
        ("region", "region"),
        ("*", "*"),
        ("a::int = 1", "CAST(a AS INT)"),
        ("width + 1 = 2", "width + 1"),
        ("width = 1 + 1", "1 + 1"),
        ("title = 'a' || 'b'", "'a' || 'b'"),
        ("title = 'a' 'b'", "'a'"),
        ("title = N'a'", "'a'"),
        ("title = -'a'", "'a'"),
        ("title = :p", ":p"),
        ("title = ?", "?"),
        ("title ILIKE 'a'", "ILIKE"),
        ("title LIKE ANY ('a')", "ANY"),
        ("title LIKE 'a!%' ESCAPE '!'", "ESCAPE"),
        ("title SIMILAR TO 'a'", "SIMILAR"),
        ("width BETWEEN SYMMETRIC 2 AND 1", "BETWEEN"),
        ("width IS TRUE", "width IS TRUE"),
        ("width IS DISTINCT FROM 1", "DISTINCT"),
        ("region = NULL", "IS NULL"),
        ("region IN ('eu', NULL)", "IS NULL"),
        ("region IN ()", "IN"),
        ("a = b = 'c'", "a = b"),
        ("a < 1 < 2", "a < 1"),
        ("tags[0] = 'a'", "tags[0]"),
        ("tags LIKE 'a%'", "tags LIKE"),
        ("tags < 'a'", "tags < 'a'"),
        ("tags = 1", "`tags` holds text"),
        ("contains(tags, 'a', 'b')", "CONTAINS"),
        ("contains(tags, region)", "region"),
        ("contains(title, 'a')", "LIKE"),
        ("title = 1", "`title` holds text"),
        ("title = true", "`title` holds text"),
        ("title IN ('a', 1)", "`title` holds text"),
        ("published_at > 2024", "(write '2024')"),
        ("width = 'x'", "`width` holds numbers"),
        ("width = true", "`width` holds numbers"),
        ("width LIKE '1%'", "LIKE compares texts"),
        ("price LIKE 1", "LIKE compares texts"),
        ("price IN (1, '2')", "several types"),
        ("flag < true", "booleans"),
        ("width < 1e999", "1e999"),
        ("width < ²", ""),
        ("extra = 'x'", "price < 10"),
        ("extra.price = 1", "price < 10"),
        ("\"a'b\" = 'x'", "a'b"),
        ('"a""b" = \'x\'', "letters"),
        ("\"a\\b\" = 'x'", "letters"),
        ("\"\" = 'x'", "letters"),
        ("a.* = 1", "a.*"),
        ("title = 'a\0'", "NUL"),
        ("title = '\ud800'", "surrogate"),
        ("title = \u2019x\u2019", ""),
        ("title = \uff07x\uff07", ""),
        ("region\u200b = 'eu'", ""),
        ("access = access", "`access`"),
        ("access LIKE 'a%'", "access LIKE"),
        ("array_has(access, 'press')", "ARRAY"),
        ("a -> '[' = 1", "JSON_EXTRACT"),
        (f"title = '{'x' * MAX_LENGTH}'", "longer"),
        ("a = 1 AND (" * (MAX_DEPTH + 1) + "b = 1" + ")" * (MAX_DEPTH + 1), "nested"),
        ("NOT " * (MAX_DEPTH + 1) + "a = 1", "nested"),
        ("(" * 900 + "a = 1" + ")" * 900, "nested"),
        ("NOT " * 480 + "a = 1", "nested"),
        ("a = " + "- " * 900 + "1", "nested"),
        ("a = " + "[" * 1900, "nested"),
    ],
)
def test_refused(expression, named):
    with pytest.raises(InvalidFilter) as refused:
        compile_filter(expression)
    assert named in str(refused.value)
    assert "region = 'eu' AND" in str(refused.value)


def test_bounds_are_within_what_lance_takes(table):
    deep = "a = 1 AND (NOT " * (MAX_DEPTH // 2) + "b = 1" + ")" * (MAX_DEPTH // 2)
    assert found(table, deep) == set()
    assert found(table, " OR ".join(["size = 10"] * 150)) == {1}
    assert found(table, "n IN (" + ", ".join(["1"] * 600) + ") OR size = 10") == {1}


@pytest.mark.parametrize(
    "unit", ["(", "a(", "[", "{", "CASE ", "NOT ", "a = 1 AND (", "a IN (", "x."]
)
def test_abuse_is_refused_quickly(unit):
    start = time.monotonic()
    for length in (30, MAX_LENGTH):
        with pytest.raises(InvalidFilter):
            compile_filter((unit * MAX_LENGTH)[:length])
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("text", ["a = '{}'", "(" * 500_000 + "{}", "{}\U0001f600", "a IN ({})"])
def test_a_megabyte_is_refused_unread(monkeypatch, text):
    monkeypatch.setattr(filters, "_parse", None)
    with pytest.raises(InvalidFilter, match="longer than"):
        compile_filter(text.format("x, " * 340_000))


def test_nothing_that_users_write_is_logged(caplog):
    with caplog.at_level(logging.DEBUG):
        for expression in ("a -> 'hunter2)' = 1", "json_extract(a, '$[hunter2') = 1", "hunter2 ("):
            with pytest.raises(InvalidFilter):
                compile_filter(expression)
    assert "hunter2" not in caplog.text


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
nasty = st.text("'\"\\%_;-/*${}[]\n\r\t é", max_size=8)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(texts | nasty, min_size=1, max_size=6, unique=True))
def test_any_text_matches_itself_only(tmp_path_factory, values):
    rows = [{"title": value, "tags": [value], "extra": {"key": value}} for value in values]
    table = make_table(tmp_path_factory.mktemp("lance"), rows)
    for n, value in enumerate(values):
        literal = "'" + value.replace("'", "''") + "'"
        pattern = "'" + value.translate({ord(c): f"\\{c}" for c in "\\%_"}).replace("'", "''") + "'"
        for condition in (
            f"title = {literal}",
            f"tags = {literal}",
            f"tags IN ({literal})",
            f"key = {literal}",
            f"key IN ({literal})",
            f"key BETWEEN {literal} AND {literal}",
            f"title LIKE {pattern}",
            f"key LIKE {pattern}",
        ):
            assert found(table, condition) == {n}, condition


words = """a title width tags extra = != < <= <> AND OR NOT IN BETWEEN IS NULL LIKE ( ) , . 1 -1
    1e5 'x' 'it''s' "k" TRUE CONTAINS( contains(tags,'x') lower( SELECT FROM CASE WHEN END CAST( AS
    INT ; -- /* */ :: [ ] { } ? : @ $1 ' " * + || ~ ALL ANY DATE INTERVAL EXISTS( WITH ORDER BY"""


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(words.split()), max_size=14).map(" ".join) | st.text(max_size=30))
def test_anything_is_compiled_or_refused(table, expression):
    try:
        where = compile_filter(expression)
    except InvalidFilter:
        return
    table.search().where(where).limit(1).to_list()


_WRITTEN = re.compile(
    r"""\s*(?:
        '(?:[^']|'')*' | -?\d+(?:\.\d+)?(?:e[+-]?\d+)?\b | [()\[\],] | [<>!]?=|[<>]
        | (?:AND|OR|NOT|IN|BETWEEN|LIKE|IS|NULL|AS|DOUBLE|COLUMNS)\b
        | (?:CAST|TRY_CAST|nullif|btrim|array_has|array_has_any|regexp_match)(?=\()
        | json_extract\(extra,\ '\$\."\w[\w .:/-]*"'\)
    )""".replace("COLUMNS", "|".join(COLUMNS)),
    re.VERBOSE,
)
_PIECES = """' '' " \\ \\' -- /* */ # ; ( ) [ ] , . :: @ $1 ` != <> -> || + - * / 0x1 1e5 N'a' NULL
    TRUE NOT AND OR IS LIKE ESCAPE BETWEEN ANY SELECT FROM UNION CASE END CAST( DATE INTERVAL lower(
    json_extract( extra vector _rowid {{ {% \u2019 \uff07 \u200b \u202e \ufeff \x01"""


def mutated(random):
    """A filter as one may write it, with pieces of SQL in some places of it."""
    text = random_filter(random, 2).text
    for _ in range(random.randint(0, 3)):
        start = random.randint(0, len(text))
        piece = (
            random.choice(("", " "))
            + random.choice((*_PIECES.split(), "\u3000", "\x85"))
            + random.choice(("", " "))
        )
        text = text[:start] + piece + text[start + random.choice((0, 0, 1, 4)) :]
    return text


def test_what_reaches_the_engine_is_written_anew(table):
    """Of the user's own there are values, quoted again, and keys of a few characters."""
    random = Random(3)
    compiled = 0
    for _ in range(1_500):
        expression = mutated(random)
        try:
            where = compile_filter(expression)
        except InvalidFilter:
            continue
        compiled += 1
        at = 0
        while at < len(where):
            written = _WRITTEN.match(where, at)
            assert written, (expression, where[at:])
            at = written.end()
        if compiled % 10 == 0:
            table.search().where(where).limit(1).to_list()
    assert compiled > 200

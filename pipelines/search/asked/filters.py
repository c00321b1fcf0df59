"""Users' `--where` expressions, compiled to LanceDB predicates.

The text is parsed, checked against a small grammar and written anew; none of it is passed through.
"""

import json
import logging
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

from pipelines.errors import InvalidFilter

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

# Its warnings quote what the user wrote.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

MAX_LENGTH = 2_000
MAX_DEPTH = 20

Kind = Literal["string", "number", "list"]
Value = str | bool | int | float

_STRINGS = """item_id kind media_type title domain region usage_rights consent owner business_unit
    product_family consent_expires published_at"""

COLUMNS: dict[str, Kind] = {
    **dict.fromkeys(_STRINGS.split(), "string"),
    **dict.fromkeys(("width", "height", "duration_s", "size"), "number"),
    **dict.fromkeys(("tags", "access", "modalities"), "list"),
}

_COMPARISONS = {"eq": "=", "neq": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_LEAVES = {
    **dict.fromkeys((*_COMPARISONS, "like", "contains", "is"), ("expression",)),
    "in": ("expressions",),
    "between": ("low", "high"),
}
_LEVELS = ("catalog", "db", "table", "this")  # a.b.c.d, as sqlglot names its parts
# Safe inside '$."key"' and inside a SQL string: neither kind of quote, no backslash.
_KEY = re.compile(r"\w[\w .:/-]*")


class _Field(NamedTuple):
    name: str
    kind: Kind | Literal["extra"]


def compile_filter(expression: str) -> str:
    """Compile a user's SQL-like expression to a LanceDB predicate.

    A name in `COLUMNS` (any case) is that column; any other name, "quoted" where it is not a plain
    word, is a top-level key of the JSON column `extra`. A string literal matches only text there;
    a number or a boolean matches also where it is held as text. Allowed: = != <> < <= > >=, AND,
    OR, NOT, parentheses, [NOT] IN, BETWEEN, LIKE (backslash escapes), IS [NOT] NULL, and for
    lists, as `tags` is, = != IN CONTAINS(tags, 'x'), all meaning membership.

    As in SQL, comparing a missing value is neither true nor false, so rows without a region match
    neither `region != 'eu'` nor `NOT (region = 'eu')`.

    Raises:
        InvalidFilter: the expression is not understood, not allowed or over a bound.
    """
    if len(expression) > MAX_LENGTH:
        _refuse(f"the expression is longer than {MAX_LENGTH} characters")
    if re.search("[\0\ud800-\udfff]", expression):
        _refuse("a NUL or half a surrogate pair cannot be searched for")
    try:
        return _predicate(_parse(expression), 0)
    except RecursionError:
        _refuse("the expression is nested too deeply")


def fields_of(expression: str) -> set[str]:
    """Return the names of the columns and keys that are compared; raises InvalidFilter."""
    from sqlglot.expressions import Column

    return {_field(node).name for node in _parse(expression).find_all(Column)}


def _refuse(reason: str) -> NoReturn:
    example = "region = 'eu' AND (width >= 640 OR tags IN ('press', 'launch'))"
    raise InvalidFilter(f"filter refused: {reason}; allowed is, for example: {example}") from None


def _parse(text: str) -> "Expr":
    import sqlglot
    from sqlglot.errors import ParseError, SqlglotError
    from sqlglot.expressions import Condition

    try:
        tokens = sqlglot.tokenize(text)
        if not tokens:
            _refuse("there is no condition")
        if any(token.text == ";" and token.token_type.name == "SEMICOLON" for token in tokens):
            _refuse("`;` is not allowed")
        if any(token.comments for token in tokens):
            _refuse("comments are not allowed")
        return sqlglot.parse_one(text, into=Condition)
    except ParseError as error:
        at = error.errors[0]["highlight"] if error.errors else text
        _refuse(f"the part at `{_brief(at)}` is not understood")
    except SqlglotError:
        _refuse(f"`{_brief(text)}` is not understood (is a quote left open?)")


def _brief(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def _reject(node: "Expr") -> NoReturn:
    _refuse(f"`{_brief(node.sql())}` is not allowed")


def _predicate(node: "Expr", depth: int) -> str:
    """Write `node` as a predicate that stands by itself under any operator."""
    node = node.unnest()
    if depth > MAX_DEPTH:
        _refuse(f"conditions are nested more than {MAX_DEPTH} deep")
    if node.key in ("and", "or"):
        parts = [_predicate(part, depth + 1) for part in node.flatten()]
        return f"({f' {node.key.upper()} '.join(parts)})"
    if node.key == "not":
        return f"(NOT {_predicate(node.this, depth + 1)})"
    if node.key not in _LEAVES:
        _reject(node)
    known = {"this", "negate", *_LEAVES[node.key]}
    if any(value for name, value in node.args.items() if name not in known):
        _reject(node)
    leaf = _leaf(node)
    return f"(NOT {leaf})" if node.args.get("negate") else leaf


def _leaf(node: "Expr") -> str:
    field = _field(node.this)
    operands: list[Expr] = []
    for name in _LEAVES[node.key]:
        operand = node.args.get(name)
        operands += operand if isinstance(operand, list) else [operand] if operand else []
    if not operands:
        _reject(node)
    if node.key == "is":
        return _is_null(node, field, operands[0])
    values = [_value(operand) for operand in operands]
    if field.kind == "list":
        return _membership(node, field, values)
    target, literals = _operands(node, field, values)
    match node.key:
        case "in":
            return f"({target} IN ({', '.join(literals)}))"
        case "between":
            return f"({target} BETWEEN {literals[0]} AND {literals[1]})"
        case "like":
            return f"({target} LIKE {literals[0]})"
        case key if key in _COMPARISONS:
            return f"({target} {_COMPARISONS[key]} {literals[0]})"
    _refuse(f"CONTAINS is for lists such as `tags`, not for `{field.name}` (use LIKE '%part%')")


def _field(node: "Expr") -> _Field:
    """Return what a column stands for; dots between plain words are part of a key."""
    parts = [part for level in _LEVELS if (part := node.args.get(level))]
    if node.key != "column" or any(part.key != "identifier" for part in parts):
        _refuse(f"`{_brief(node.sql())}` is not allowed where a field's name is expected")
    name = ".".join(part.name for part in parts)
    plain = name if any(part.args.get("quoted") for part in parts) else name.lower()
    if plain in COLUMNS:
        return _Field(plain, COLUMNS[plain])
    if plain == "extra" or plain.startswith("extra."):
        _refuse("`extra` is not allowed: its keys are written by themselves, as in price < 10")
    if not _KEY.fullmatch(name):
        _refuse(f"`{_brief(name)}` is not allowed as a name (letters, digits, space and _-.:/ are)")
    return _Field(name, "extra")


def _value(node: "Expr") -> Value:
    sign = 1
    while node.key == "neg":
        node, sign = node.this, -sign
    if node.key == "boolean" and sign == 1:
        return bool(node.this)
    if node.key == "null":
        _refuse("comparing with NULL is not allowed (use IS NULL or IS NOT NULL)")
    if node.key != "literal" or (node.args["is_string"] and sign < 0):
        _refuse(f"`{_brief(node.sql())}` is not allowed as a value (texts stand in 'quotes')")
    if node.args["is_string"]:
        return str(node.this)
    try:
        number = float(node.this)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        _refuse(f"`{_brief(node.this)}` is not allowed as a number")
    return sign * (int(node.this) if node.this.isdecimal() else number)


def _is_null(node: "Expr", field: _Field, operand: "Expr") -> str:
    if operand.key != "null":
        _reject(node)
    target = f"nullif({_json(field)}, 'null')" if field.kind == "extra" else field.name
    return f"({target} IS NULL)"


def _membership(node: "Expr", field: _Field, values: Sequence[Value]) -> str:
    texts = ", ".join(_quote(_text(field, value)) for value in values)
    match node.key:
        case "eq" | "contains":
            return f"array_has({field.name}, {texts})"
        case "neq":
            return f"(NOT array_has({field.name}, {texts}))"
        case "in":
            return f"array_has_any({field.name}, [{texts}])"
    _refuse(f"`{_brief(node.sql())}` is not allowed: `{field.name}` has = != IN and CONTAINS")


def _operands(node: "Expr", field: _Field, values: Sequence[Value]) -> tuple[str, list[str]]:
    """Write the left side and the literals, both of the one type that they are compared as."""
    if node.key == "like" and (field.kind == "number" or not isinstance(values[0], str)):
        _refuse(f"`{_brief(node.sql())}` is not allowed: LIKE compares texts")
    if field.kind == "string":
        return field.name, [_quote(_text(field, value)) for value in values]
    if field.kind == "number":
        numbers = [_number(field, value) for value in values]
        # Lance refuses a literal that does not fit the column's own type.
        if all(isinstance(number, int) and abs(number) < 2**31 for number in numbers):
            return field.name, [str(number) for number in numbers]
        return f"CAST({field.name} AS DOUBLE)", [repr(float(number)) for number in numbers]
    kinds = {str if isinstance(v, str) else bool if isinstance(v, bool) else float for v in values}
    if len(kinds) > 1:
        _refuse(f"`{_brief(node.sql())}` is not allowed: its values are of several types")
    # json_get_string, _float and _bool fail the whole query at one value of another type.
    if kinds == {str}:
        body = _like_body if node.key == "like" else _body
        target = f"""regexp_match({_json(field)}, '^"(.*)"$')[1]"""
        return target, [_quote(body(str(value))) for value in values]
    text = f"btrim({_json(field)}, '\"')"
    if kinds == {bool}:
        if node.key not in ("eq", "neq", "in"):
            _refuse(f"`{_brief(node.sql())}` is not allowed: booleans have = != and IN")
        return f"nullif({text}, 'null')", [_quote(str(value).lower()) for value in values]
    # NaN is greater than every number to DataFusion; it should match nothing.
    target = f"nullif(TRY_CAST({text} AS DOUBLE), CAST('NaN' AS DOUBLE))"
    return target, [repr(float(value)) for value in values]


def _text(field: _Field, value: Value) -> str:
    if not isinstance(value, str):
        _refuse(f"`{field.name}` holds text, so `{value}` is not allowed (write '{value}')")
    return value


def _number(field: _Field, value: Value) -> int | float:
    if isinstance(value, str | bool):
        _refuse(f"`{field.name}` holds numbers, so `{_brief(value)}` is not allowed")
    return value


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _json(field: _Field) -> str:
    """Read a key as JSON text; NULL where it is missing."""
    return f"json_extract(extra, '$.\"{field.name}\"')"


def _body(text: str) -> str:
    """Spell a text as Lance does between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _like_body(pattern: str) -> str:
    """Spell a LIKE pattern's literal characters as `_body` does, its wildcards kept."""

    def spell(match: re.Match[str]) -> str:
        character = match[0] if len(match[0]) == 1 else match[0][1]
        if character in "%_":
            return match[0]
        return _body(character).replace("\\", "\\\\")

    return re.sub(r"\\.|.", spell, pattern, flags=re.DOTALL)

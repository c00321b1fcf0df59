"""Random filters as text, with what each says of a row worked out in Python: yes, no or unknown.

And the rule of rights, worked out in Python too.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from pipelines.rights import Caller

Row = dict[str, Any]
Truth = bool | None


class Asked(NamedTuple):
    """A filter as a user writes it; `portable` where it needs no JSON function."""

    text: str
    says: Callable[[Row], Truth]
    portable: bool = True


TEXTS = ("eu", "us", "o'k", 'say "x"', "100%", "a_b", "back\\slash", "x' OR 1=1 --", "naïve 😀")
NUMBERS = (0, 1, 7, 7.5, -1, 640, 2**31, 1e300)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def may_see(caller: Caller | None, row: Row) -> bool:
    """Tell whether a row is for the region and the groups of a caller."""
    if caller is None:
        return True
    region = (row["region"] or "").strip(" ").lower()
    mine = (caller.region or "").strip(" ").lower()
    return region in {"", "global", mine} and (
        not row["access"] or bool(caller.groups & set(row["access"]))
    )


def random_filter(random: Random, depth: int = 3) -> Asked:
    kind = random.random()
    if depth == 0 or kind < 0.4:
        return random.choice((_of_text, _of_number, _of_list, _of_flag, _is_null))(random)
    if kind < 0.55:
        inner = random_filter(random, depth - 1)
        return Asked(f"NOT ({inner.text})", lambda row: _not(inner.says(row)), inner.portable)
    parts = [random_filter(random, depth - 1) for _ in range(random.randint(2, 3))]
    word = random.choice(("AND", "OR"))
    end = word == "OR"

    def says(row: Row) -> Truth:
        told = [part.says(row) for part in parts]
        return end if end in told else None if None in told else not end

    text = f" {word} ".join(f"({part.text})" for part in parts)
    return Asked(text, says, all(part.portable for part in parts))


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return repr(value) if isinstance(value, int | float) else "'" + value.replace("'", "''") + "'"


def _not(said: Truth) -> Truth:
    return None if said is None else not said


def _known(read: Callable[[Row], Any], test: Callable[[Any], bool]) -> Callable[[Row], Truth]:
    return lambda row: None if (value := read(row)) is None else test(value)


def _compared(
    random: Random, name: str, read: Callable[[Row], Any], values: Any, portable: bool
) -> Asked:
    shape = random.choice(("compare", "in", "between"))
    if shape == "compare":
        sign, value = random.choice(list(_COMPARE)), random.choice(values)
        test = _COMPARE[sign]
        return Asked(
            f"{name} {sign} {literal(value)}", _known(read, lambda has: test(has, value)), portable
        )
    not_, turn = random.choice((("", lambda said: said), ("NOT ", lambda said: not said)))
    if shape == "in":
        chosen = random.sample(values, 2)
        return Asked(
            f"{name} {not_}IN ({', '.join(map(literal, chosen))})",
            _known(read, lambda has: turn(has in chosen)),
            portable,
        )
    low, high = random.choice(values), random.choice(values)
    return Asked(
        f"{name} {not_}BETWEEN {literal(low)} AND {literal(high)}",
        _known(read, lambda has: turn(low <= has <= high)),
        portable,
    )


def _of_text(random: Random) -> Asked:
    name = random.choice(("title", "region", "note"))
    read = (
        _of_extra(name, lambda v: v if isinstance(v, str) else None)
        if name == "note"
        else (lambda row: row[name])
    )
    if random.random() < 0.7:
        return _compared(random, name, read, TEXTS, name != "note")
    begin, end = random.choice(TEXTS), random.choice(("", "k", "x"))
    escaped = re.sub(r"([\\%_])", r"\\\1", begin)
    pattern = re.compile(f"{re.escape(begin[:1])}.{re.escape(begin[2:])}.*{end}", re.DOTALL)
    spelled = (
        re.sub(r"([\\%_])", r"\\\1", begin[:1]) + "_" + re.sub(r"([\\%_])", r"\\\1", begin[2:])
    )
    if random.random() < 0.5:
        pattern, spelled = re.compile(f"{re.escape(begin)}.*{end}", re.DOTALL), escaped
    return Asked(
        f"{name} LIKE {literal(f'{spelled}%{end}')}",
        _known(read, lambda has: bool(pattern.fullmatch(has))),
        name != "note",
    )


def _of_number(random: Random) -> Asked:
    name = random.choice(("width", "size", "price"))
    if name == "price":
        return _compared(random, name, _of_extra(name, _number), NUMBERS, False)
    return _compared(random, name, lambda row: row[name], NUMBERS, True)


def _of_list(random: Random) -> Asked:
    name = random.choice(("tags", "access"))
    one, other = random.sample(TEXTS, 2)
    text, test = random.choice(
        (
            (f"{name} = {literal(one)}", lambda has: one in has),
            (f"{name} != {literal(one)}", lambda has: one not in has),
            (f"contains({name}, {literal(one)})", lambda has: one in has),
            (
                f"{name} IN ({literal(one)}, {literal(other)})",
                lambda has: one in has or other in has,
            ),
        )
    )
    return Asked(text, _known(lambda row: row[name], test))


def _of_flag(random: Random) -> Asked:
    value = random.random() < 0.5
    spelled = str(value).lower()
    sign, wanted = random.choice((("=", True), ("!=", False)))
    read = _of_extra("flag", lambda v: v if isinstance(v, str) else str(v).lower())
    return Asked(
        f"flag {sign} {literal(value)}",
        _known(read, lambda has: (has == spelled) is wanted),
        False,
    )


def _is_null(random: Random) -> Asked:
    name = random.choice(("region", "tags", "access", "width", "price"))
    not_, wanted = random.choice((("", True), ("NOT ", False)))
    read = _of_extra(name, lambda v: v) if name == "price" else (lambda row: row[name])
    return Asked(
        f"{name} IS {not_}NULL", lambda row: (read(row) is None) is wanted, name != "price"
    )


def _of_extra(name: str, take: Callable[[Any], Any]) -> Callable[[Row], Any]:
    return lambda row: None if (value := (row["extra"] or {}).get(name)) is None else take(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (ValueError, TypeError):
        return None

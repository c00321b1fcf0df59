"""Tokens: whom each stands for, that none is kept, and that all processes see a change at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from pipelines.errors import BadInput, MediadexError
from pipelines.rights import Caller
from pipelines.tokens import Tokens

ANA = Caller(user="ana", region="eu", groups=frozenset({"press"}))
BEN = Caller(user="ben", scopes=frozenset({"search", "feedback"}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "tokens.json"


def test_a_token_stands_for_its_caller_until_it_is_revoked(path: Path) -> None:
    tokens, other = Tokens(path), Tokens(path)
    assert tokens.caller("") is None and tokens.names() == []
    mine, his, second = tokens.add(ANA), tokens.add(BEN), tokens.add(ANA)
    assert len({mine, his, second}) == 3 and len(mine) >= 43
    assert (other.caller(mine), other.caller(his), other.caller(second)) == (ANA, BEN, ANA)
    for wrong in ("", mine[:-1], f"{mine}=", mine.swapcase(), "\ud800", other.names()[0]["token"]):
        assert other.caller(wrong) is None
    assert [row["user"] for row in other.names()] == ["ana", "ana", "ben"]
    assert other.revoke("ana") == 2
    assert (tokens.caller(mine), tokens.caller(second), tokens.caller(his)) == (None, None, BEN)
    path.unlink()
    assert tokens.caller(his) is None


def test_no_token_is_kept_and_nobody_else_reads_the_file(path: Path) -> None:
    token = Tokens(path).add(ANA)
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in path.read_text()
    assert {each.name for each in path.parent.iterdir()} == {"tokens.json", "tokens.lock"}


def test_one_token_is_revoked_by_how_it_is_listed(path: Path) -> None:
    tokens = Tokens(path)
    kept, gone = tokens.add(ANA), tokens.add(Caller())
    (listed,) = [row["token"] for row in tokens.names() if row["user"] is None]
    for unclear in ("", listed[:7], "nobody", gone):
        with pytest.raises(MediadexError, match="tokens list"):
            tokens.revoke(unclear)
    assert tokens.revoke(listed) == 1
    assert tokens.caller(gone) is None and tokens.caller(kept) == ANA
    same = {f"abcdef01{n:056x}": {"user": str(n)} for n in range(2)}
    path.write_text(json.dumps(same))
    with pytest.raises(MediadexError, match="several"):
        tokens.revoke("abcdef01")
    assert len(tokens.names()) == 2


def test_who_adds_at_the_same_time_loses_nothing(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Tokens(path).add(BEN), range(24)))
    tokens = Tokens(path)
    assert [tokens.caller(token) for token in made] == [BEN] * 24


@pytest.mark.parametrize("text", ["", "[]", '{"a": {"scope": []}}', '{"a": 1}'])
def test_a_damaged_file_lets_nobody_in(path: Path, text: str) -> None:
    tokens = Tokens(path)
    token = tokens.add(ANA)
    before = path.read_text()
    assert tokens.caller(token) == ANA
    path.write_text(text)
    for work in (lambda: tokens.caller(token), lambda: tokens.add(BEN)):
        with pytest.raises(MediadexError, match=r"tokens\.json cannot be read"):
            work()
    assert path.read_text() == text
    path.write_text(before)
    assert tokens.caller(token) == ANA


def test_commands(path: Path) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["tokens", *arguments, "--home", str(path.parent)])
        if result.exception:
            raise result.exception
        return result.stdout

    described = '{"user": "ana", "region": "eu", "groups": ["press"]}'
    first = run("add", described).strip()
    second = json.loads(run("add", described, "--json"))["token"]
    assert Tokens(path).caller(first) == Tokens(path).caller(second) == ANA
    listed = json.loads(run("list", "--json"))
    assert listed[0] | {"token": ""} == {
        "token": "",
        "user": "ana",
        "scopes": ["feedback", "search"],
        "region": "eu",
        "groups": ["press"],
        "personal": False,
    }
    assert "press" in run("list") and first not in run("list")
    assert run("revoke", listed[0]["token"]) == "1 revoked\n"
    assert json.loads(run("revoke", "ana", "--json")) == {"revoked": 1}
    with pytest.raises(BadInput, match="user"):
        run("add", '{"user": 5}')

"""Tokens: who may ask the API, and what they may see."""

from typing import Annotated

import typer

from cli.terminal import AsJson, Home, print_json, say, settings_of, table
from pipelines.rights import Caller
from pipelines.tokens import Tokens

tokens = typer.Typer(no_args_is_help=True, help="Who may ask the API, and what they may see.")


@tokens.command()
def add(
    caller: Annotated[
        str,
        typer.Argument(
            metavar="JSON",
            help='As {"user": "ana", "scopes": ["search"], "region": "eu", "groups": ["press"]}.',
        ),
    ],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a token for a caller; it is printed now and never again."""
    token = _of(home).add(Caller.of_json(caller))
    if as_json:
        print_json({"token": token})
    else:
        say(token)


@tokens.command("list")
def list_tokens(home: Home = None, as_json: AsJson = False) -> None:
    """Show whom there are tokens for; each is named by the beginning of its SHA-256."""
    rows = _of(home).names()
    if as_json:
        print_json(rows)
        return
    shown = [
        {key: ", ".join(value) if isinstance(value, list) else value for key, value in row.items()}
        for row in rows
    ]
    table("tokens", ("token", "user", "scopes", "region", "groups", "personal"), shown)


@tokens.command()
def revoke(
    who: Annotated[str, typer.Argument(help="A user, or the beginning of one token in `list`.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let a user's tokens, or one token, mean nothing from the next request on."""
    count = _of(home).revoke(who)
    if as_json:
        print_json({"revoked": count})
    else:
        say(f"{count} revoked")


def _of(home: Home) -> Tokens:
    return Tokens(settings_of(home).home / "tokens.json")

"""Who asks: a caller by a token or, as long as a home has no tokens, its operator."""

import ipaddress
import logging
from contextlib import suppress

from fastapi import HTTPException, Request
from fastapi.security import HTTPBearer

from pipelines.errors import MediadexError
from pipelines.progress import LOGGER
from pipelines.rights import Caller
from pipelines.settings import Settings
from pipelines.tokens import Tokens

TOKENS = "tokens.json"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")

bearer = HTTPBearer(
    auto_error=False, description="A token of the home; not needed where it has none."
)


class Access:
    """Knows callers by their tokens; once tokens were seen, nobody gets in without one.

    `needs_token` is what is known of that beforehand. Where nothing is, a home that is away may
    have tokens: until it was seen, nobody gets in either.
    """

    def __init__(self, settings: Settings, needs_token: bool | None = None):
        self._home = settings.home
        self._tokens = Tokens(self._home / TOKENS)
        self._needed = needs_token
        self._look()

    @property
    def needs_token(self) -> bool:
        """Whether a token is needed."""
        self._look()
        return self._needed is not False

    def _look(self) -> None:
        if not self._needed:
            # One look tells whether the home is there and whether it has tokens; where it is away,
            # what was known last holds on.
            with suppress(OSError):
                self._needed = self._home / TOKENS in self._home.iterdir()

    def caller(self, request: Request) -> Caller | None:
        """Return who asks, `None` for the operator; raises HTTPException (401) for a stranger."""
        if not self.needs_token:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            caller = self._tokens.caller(token.strip()) if scheme.lower() == "bearer" else None
        except MediadexError as error:
            logging.getLogger(LOGGER).error("nobody is let in: %s", error)
            raise HTTPException(503, "the tokens of this home cannot be read now") from None
        if caller is None:
            told = (
                "the home of this server is not there, so nobody is let in: bring it back, or if "
                "it is new, run `mediadex index FOLDER` first"
                if self._needed is None
                else "send a valid token as `Authorization: Bearer TOKEN`; the operator of this "
                "home makes one with `mediadex tokens add`"
            )
            raise HTTPException(401, told, {"WWW-Authenticate": "Bearer"})
        return caller


def has_tokens(settings: Settings) -> bool:
    """Tell whether a home is there and has tokens."""
    return (settings.home / TOKENS).exists()


def check_binding(settings: Settings, host: str, is_open: bool) -> None:
    """Refuse to serve a home without tokens to others; raises MediadexError with the way out."""
    if is_open or is_loopback(host) or has_tokens(settings):
        return
    raise MediadexError(
        f"on {host} everybody could ask as the operator: this home has no tokens. Add one with "
        '`mediadex tokens add \'{"user": "NAME"}\'`, or pass --open to let everybody in'
    )


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"

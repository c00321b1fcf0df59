"""Who asks: a caller by a token or, as long as a home has no tokens, its operator."""

import ipaddress
import logging

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
    """Knows callers by their tokens; once tokens were seen, nobody gets in without one."""

    def __init__(self, settings: Settings):
        self._path = settings.home / TOKENS
        self._tokens = Tokens(self._path)
        self._needed = False

    @property
    def needs_token(self) -> bool:
        """Whether a token is needed."""
        self._needed = self._needed or self._path.exists()
        return self._needed

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
                "send a valid token as `Authorization: Bearer TOKEN`; the operator of this home "
                "makes one with `mediadex tokens add`"
            )
            raise HTTPException(401, told, {"WWW-Authenticate": "Bearer"})
        return caller


def check_binding(settings: Settings, host: str, is_open: bool) -> None:
    """Refuse to serve a home without tokens to others; raises MediadexError with the way out."""
    if is_open or is_loopback(host) or Access(settings).needs_token:
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

"""The tokens by which the API knows its callers: their digests in a file of the home."""

import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipelines.errors import MediadexError
from pipelines.rights import Caller
from pipelines.tables.lock import one_at_a_time

_SHOWN = 12
_LEAST = 8
_CALLERS = TypeAdapter(dict[str, Caller])


class Tokens:
    """Callers by the SHA-256 of their tokens; the tokens themselves are not kept.

    What a lookup takes depends on that digest alone, which nobody can steer towards another's.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._callers: Mapping[str, Caller] = {}

    def caller(self, token: str) -> Caller | None:
        """Return whom a token stands for, `None` for one that is unknown or revoked."""
        return self._current().get(_digest(token))

    def add(self, caller: Caller) -> str:
        """Return a new token for a caller; nobody can be shown it again."""
        token = secrets.token_urlsafe(32)
        with self._changing() as callers:
            callers[_digest(token)] = caller
        return token

    def revoke(self, who: str) -> int:
        """Revoke the tokens of a user, or the one whose digest begins so; returns how many.

        Raises MediadexError where there is none, or where several digests begin so.
        """
        with self._changing() as callers:
            found = [key for key, caller in callers.items() if who and caller.user == who]
            if not found and len(who) >= _LEAST:
                found = [key for key in callers if key.startswith(who.lower())]
                if len(found) > 1:
                    raise MediadexError("several tokens begin so; give more of what `list` shows")
            if not found:
                raise MediadexError(
                    "no token is of this user or begins so; `mediadex tokens list` shows them, "
                    f"of whose beginning at least {_LEAST} characters are needed"
                )
            for key in found:
                del callers[key]
        return len(found)

    def names(self) -> list[dict[str, Any]]:
        """Return each token's caller, and the beginning of its digest, by which it is revoked."""
        rows = [{"token": key[:_SHOWN], **_plain(who)} for key, who in self._current().items()]
        return sorted(rows, key=lambda row: (row["user"] or "", row["token"]))

    def _current(self) -> Mapping[str, Caller]:
        """Return all callers, read again when the file is another one."""
        with self._lock:
            try:
                found = self.path.stat()
            except FileNotFoundError:
                # A home that is away takes nobody's token away.
                if self.path.parent.exists():
                    self._seen, self._callers = None, {}
                return self._callers
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self._callers = self._read()
                self._seen = seen
            return self._callers

    def _read(self) -> dict[str, Caller]:
        try:
            return _CALLERS.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except (ValidationError, OSError):
            raise MediadexError(
                f"{self.path} cannot be read; put back a good copy, or remove it and add the "
                "tokens again with `mediadex tokens add`"
            ) from None

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Caller]]:
        """Let the callers be changed, one process at a time, and replace the file as a whole."""
        with one_at_a_time(self.path.with_suffix(".lock")):
            callers = self._read()
            yield callers
            document = {key: _plain(caller) for key, caller in callers.items()}
            fresh = self.path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            with os.fdopen(os.open(fresh, flags, 0o600), "w") as file:
                json.dump(document, file, indent=1, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(caller: Caller) -> dict[str, Any]:
    """Return a caller as JSON has it, its sets in order."""
    told = caller.model_dump()
    return {
        key: sorted(value) if isinstance(value, frozenset) else value for key, value in told.items()
    }

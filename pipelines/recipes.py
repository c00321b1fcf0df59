"""Hashes that say what a row was made from; equal recipes mean equal rows."""

import hashlib
import json
from typing import Any, BinaryIO

_BLOCK = 1 << 20


def digest(*parts: str | bytes) -> str:
    """Hash the parts, each length-prefixed so that their boundaries count: 32 hex digits."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.hexdigest()[:32]


def digest_json(value: Any) -> str:
    """Hash a JSON-like value regardless of the order of its keys."""
    return digest(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str))


def digest_file(file: BinaryIO) -> str:
    """Hash what a seekable file holds, a block at a time, as `digest` hashes its bytes at once."""
    state = hashlib.sha256(file.seek(0, 2).to_bytes(8, "big"))
    file.seek(0)
    while block := file.read(_BLOCK):
        state.update(block)
    return state.hexdigest()[:32]

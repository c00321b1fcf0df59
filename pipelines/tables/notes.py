"""Small things worth remembering between runs, one JSON document each. Losing one loses time."""

import json
from functools import cached_property
from typing import Any

import fsspec


class Notes:
    """Documents under a root URI, each replaced as a whole."""

    def __init__(self, root: str, storage_options: dict[str, Any] | None = None):
        self._root = root
        self._options = storage_options or {}

    @cached_property
    def _files(self) -> tuple[Any, str]:
        return fsspec.core.url_to_fs(self._root, **self._options)

    def read(self, name: str) -> dict[str, Any]:
        """Return a document; empty when it was never written or cannot be read."""
        files, root = self._files
        try:
            return json.loads(files.cat_file(f"{root}/{name}.json"))
        except (FileNotFoundError, ValueError):
            return {}

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Replace a document."""
        files, root = self._files
        files.makedirs(root, exist_ok=True)
        files.pipe_file(f"{root}/{name}.json", json.dumps(document).encode())

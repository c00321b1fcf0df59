"""One handle on every table and blob under a root URI."""

from typing import Any

from pipelines.models.protocols import Identity
from pipelines.tables.blobs import BlobStore
from pipelines.tables.facts import FactTable
from pipelines.tables.lock import HomeLock
from pipelines.tables.notes import Notes
from pipelines.tables.schemas import FACTS, passage_schema, vector_schema
from pipelines.tables.vectors import SearchTable, connect

PASSAGES = "passages"
_MOST_TABLES = 100_000


class Store:
    """All that a home keeps: Delta tables as attributes, LanceDB tables by channel, blobs."""

    def __init__(self, root: str, storage_options: dict[str, str] | None = None):
        self.root = root.rstrip("/")
        self.storage_options = storage_options or {}
        self.facts = {name: self._facts(name) for name in FACTS}
        self.items = self.facts["items"]
        self.segments = self.facts["segments"]
        self.texts = self.facts["texts"]
        self.findings = self.facts["findings"]
        self.outcomes = self.facts["outcomes"]
        self.releases = self.facts["releases"]
        self.ledger = self.facts["ledger"]
        self.costs = self.facts["costs"]
        self.plans = self.facts["plans"]
        self.migrations = self.facts["migrations"]
        self.queries = self.facts["queries"]
        self.feedback = self.facts["feedback"]
        self.lock = HomeLock(self.root)
        self.notes = Notes(f"{self.root}/notes", self.storage_options)
        self.blobs = BlobStore(f"{self.root}/blobs", self.storage_options)

    def _facts(self, name: str) -> FactTable:
        return FactTable(f"{self.root}/delta/{name}", FACTS[name], self.storage_options)

    @property
    def search_root(self) -> str:
        """URI of the LanceDB database."""
        return f"{self.root}/lance"

    @property
    def database(self) -> Any:
        """The LanceDB database itself, for work on whole tables; rows go through the tables."""
        return connect(self.search_root, self.storage_options)

    def search_tables(self) -> list[str]:
        """Return the names of all LanceDB tables."""
        return sorted(self.database.list_tables(limit=_MOST_TABLES).tables)

    def used_blobs(self) -> set[str]:
        """Return the names of the blobs that a segment refers to."""
        rows = self.segments.read(["derivative", "thumbnail"])
        return {name for column in rows.columns for name in column.to_pylist()} - {None}

    def channel(self, name: str, identity: Identity) -> SearchTable:
        """Return the vector table of a channel for an encoder; another identity, another table."""
        return SearchTable(
            self.search_root,
            f"{name}_{identity.key}",
            vector_schema(identity.dimension),
            self.storage_options,
        )

    @property
    def passages(self) -> SearchTable:
        """The full-text table of redacted passages."""
        return SearchTable(self.search_root, PASSAGES, passage_schema(), self.storage_options)

"""The home of an installation: its settings, its tables and the models that its settings choose."""

import dagster as dg
from pydantic import Field

from pipelines.models.suite import ModelSuite
from pipelines.settings import Settings, load_settings
from pipelines.store import Store
from pipelines.tables.migrations import ensure_current


class HomeResource(dg.ConfigurableResource):
    """Opens a home. Everything else about it comes from its settings."""

    home: str = Field(
        default="", description="Folder of the home; empty: $MEDIADEX_HOME, else .mediadex."
    )

    def settings(self) -> Settings:
        """Return the settings of the home."""
        return load_settings(self.home or None)

    def store(self) -> Store:
        """Return its tables and blobs; raises MediadexError where they wait for a migration."""
        store = Store(self.settings().root)
        ensure_current(store)
        return store

    def models(self) -> ModelSuite:
        """Return the models that its settings choose."""
        return ModelSuite.chosen_by(self.settings())

"""Who asks: the HTTP API over the latest release. Knows no Dagster."""

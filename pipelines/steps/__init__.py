"""The steps from raw media to a release. Each says what its rows should be; `runner` does the rest."""

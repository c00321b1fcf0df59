"""The steps from raw media to a release: each says what its rows should be; `runner` does them."""

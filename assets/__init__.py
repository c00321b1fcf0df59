"""What exists: software-defined assets and their checks, thin around the steps in `pipelines`."""

"""Releases: immutable manifests in a log, which candidates enter through gates."""

"""Asking a release: filters, channels side by side, scores that add up, and their quality."""

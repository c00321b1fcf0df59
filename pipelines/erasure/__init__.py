"""Removing every byte of erased items, and proving that none is left."""

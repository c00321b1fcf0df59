"""Models behind small protocols: built-in ones that need no network, and hub ones by setting."""

"""Keeping house: what is old, unused or expired goes; what serves stays small and fast."""

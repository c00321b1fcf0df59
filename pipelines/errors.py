"""The errors that users meet: each names the thing and the way out, never a private value."""

from collections import Counter
from collections.abc import Iterable


class MediadexError(Exception):
    """Base of every error raised on purpose."""


class BadInput(MediadexError):
    """An item that cannot be processed until its bytes or the step change; it is quarantined."""


class ResidualFinding(MediadexError):
    """Private data was still found after redaction; the item is kept out and the asset fails."""


def residual_finding(kinds: Iterable[str]) -> ResidualFinding:
    """Return the error that tells which kinds of private data are left, and how many of each."""
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(kinds).items()))
    return ResidualFinding(f"private data is left after redaction: {listed}")


class IdentityMismatch(MediadexError):
    """A vector or table of one model identity was offered where another is expected."""


class InvalidFilter(MediadexError):
    """A `--where` expression that is not understood or not allowed."""


class NotReleased(MediadexError):
    """There is no release to answer from yet."""


class Cleaned(MediadexError):
    """A release of the past whose tables are gone."""


class StorageAway(NotReleased):
    """Tables that were there cannot be read any more."""


class ModelUnavailable(MediadexError):
    """A model that cannot be loaded: its files are absent, out of reach or not the right ones."""


class GateRefused(MediadexError):
    """A release that may not be promoted; says which gates refused it and by what numbers."""

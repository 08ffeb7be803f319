"""The one error of the embedded database; its text is a sentence for the operator. Imports nothing."""

from __future__ import annotations

__all__ = ["DatabaseUnavailable"]


class DatabaseUnavailable(Exception):
    """The embedded database cannot be had; `str()` says what to do."""

"""The errors of the pure core: one base, and the causes that several modules share.

This module imports nothing, so that anything may import it. A cause is a type with fields, not a sentence to parse;
the sentence is for people.
"""

from __future__ import annotations

__all__ = ["CoreError", "DuplicateItem", "EmptyQueue", "InvalidValue", "UnknownItem"]


class CoreError(Exception):
    """Base of everything that `jobs.core` raises on purpose."""


class InvalidValue(CoreError, ValueError):
    """An option or argument is outside what it may be. `field` names it, `reason` says what is allowed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class DuplicateItem(CoreError, ValueError):
    """The id is already queued; the caller wanted `update`."""

    def __init__(self, item: object) -> None:
        super().__init__(f"{item!r} is already in the queue; use update() to change its key")
        self.item = item


class UnknownItem(CoreError, KeyError):
    """The id is not queued (never was, or it has left already)."""

    def __init__(self, item: object) -> None:
        super().__init__(f"{item!r} is not in the queue")
        self.item = item


class EmptyQueue(CoreError, IndexError):
    """There is nothing to pop or to peek at."""

    def __init__(self) -> None:
        super().__init__("the queue is empty")

"""Exceptions of the app. Imports nothing, so that every module may use it."""

from __future__ import annotations

__all__ = ["BadPosition", "BadTopics", "Forbidden", "LogNotReady", "NotificationsError"]


class NotificationsError(Exception):
    """Base of everything this app raises on purpose."""


class LogNotReady(NotificationsError):
    """The log's tables were emptied while somebody looked; another look finds it begun again."""


class BadPosition(NotificationsError):
    """A text that is no position of an event log."""


class BadTopics(NotificationsError):
    """No topics, too many, or one that is not well formed."""


class Forbidden(NotificationsError):
    """A topic that does not exist or that this user may not read; the two are not told apart."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"You may not read the topic “{topic}”.")
        self.topic = topic

"""manage.py notifications_new_epoch: after a restore that a ticker cannot see (a disk snapshot put back)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from notifications.epoch import new_epoch


class Command(BaseCommand):
    """Begin a new epoch of the event log."""

    help = "Begin a new epoch of the event log: every stream is told to start afresh. For after a restore."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"New epoch {new_epoch()}. Connected clients are told within a second.")

"""manage.py notifications_prune: forget events older than the retention."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from notifications.retention import prune_expired


class Command(BaseCommand):
    """Delete events and ticks older than OPSCHED["EVENTS"]["RETENTION_HOURS"], in batches."""

    help = 'Delete events older than OPSCHED["EVENTS"]["RETENTION_HOURS"].'

    def handle(self, *args: Any, **options: Any) -> None:
        gone = prune_expired()
        self.stdout.write(f"Deleted {gone.rows} rows and {gone.ticks} ticks.")

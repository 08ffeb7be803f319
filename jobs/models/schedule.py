"""Recurring jobs: the schedule and the slots it has filled."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["Schedule", "Slot"]


class Schedule(models.Model):
    """A cron expression in a time zone that submits a job for each slot.

    misfire: what happens with slots that passed while no worker ran: `latest` submits one job for the newest of them,
    `all` one for each within `catch_up_seconds` (at most 100), `skip` none.
    """

    MISFIRE = [("latest", "the newest missed slot"), ("all", "every missed slot"), ("skip", "no missed slot")]

    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=100)
    payload = models.JSONField(default=dict, blank=True)
    queue = models.CharField(max_length=100, blank=True, help_text="Empty: the kind's queue.")
    priority = models.SmallIntegerField(null=True, blank=True, help_text="Empty: the kind's priority.")
    cron = models.CharField(
        max_length=200, help_text="Five fields: minute, hour, day of month, month, day of week."
    )
    timezone = models.CharField(max_length=60, default="UTC", help_text="IANA name, such as Europe/Berlin.")
    misfire = models.CharField(max_length=10, choices=MISFIRE, default="latest")
    catch_up_seconds = models.FloatField(default=86400.0)
    paused_at = models.DateTimeField(null=True, blank=True)
    next_slot_at = models.DateTimeField(null=True, blank=True)
    last_slot_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_index=False,
        related_name="+",
    )

    class Meta:
        permissions = [("pause_schedule", "Can pause and resume schedules")]
        indexes = [
            models.Index(fields=["next_slot_at"], condition=Q(paused_at__isnull=True), name="schedule_due"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(priority__isnull=True) | Q(priority__gte=-100, priority__lte=100),
                name="schedule_priority_range",
            ),
            models.CheckConstraint(
                condition=Q(catch_up_seconds__gte=0, catch_up_seconds__lte=31_536_000),
                name="schedule_catch_up_range",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Slot(models.Model):
    """One time of a schedule that was filled; the unique key is what makes it happen once."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, db_index=False, related_name="slots")
    at = models.DateTimeField()
    job_id = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["schedule", "at"], name="slot_once")]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.at:%Y-%m-%d %H:%M}Z"

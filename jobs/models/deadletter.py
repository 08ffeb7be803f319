"""Dead letters that wait for an operator, and the record of what operators did."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from jobs.models.job import Job

__all__ = ["DeadLetter", "OperatorAction"]

_BY_PATTERN = ["varchar_pattern_ops", "timestamptz_ops", "int8_ops"]


class DeadLetter(models.Model):
    """A job that will not run again by itself. `fingerprint`: same for the same error at the same place.

    Removed when it is replayed or discarded: what happened then is an `OperatorAction`, the letter itself is kept with
    the run that took it, for an undo, and the errors stay with the job's attempts.
    """

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="dead_letter")
    kind = models.CharField(max_length=100)
    queue = models.CharField(max_length=100)
    error_class = models.CharField(max_length=200)
    message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    attempts = models.SmallIntegerField()
    fingerprint = models.CharField(max_length=32)
    died_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("replay_deadletter", "Can replay dead letters"),
            ("discard_deadletter", "Can discard dead letters"),
        ]
        indexes = [
            models.Index(fields=["-died_at", "job"], name="deadletter_by_time"),
            models.Index(fields=["fingerprint", "died_at", "job"], name="deadletter_by_group"),
            # For the filters of the list, newest first. By pattern, so that they serve beginnings too.
            models.Index(
                fields=["kind", "-died_at", "job"], name="deadletter_by_kind", opclasses=_BY_PATTERN
            ),
            models.Index(fields=["queue", "-died_at", "job"], name="deadletter_by_queue"),
            models.Index(
                fields=["error_class", "-died_at", "job"], name="deadletter_by_error", opclasses=_BY_PATTERN
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.error_class}"


class OperatorAction(models.Model):
    """Who did what to which object, why, and what it looked like before and after. Never changed or deleted."""

    at = models.DateTimeField(db_default=Now())
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, db_index=False, related_name="+"
    )
    actor_name = models.CharField(max_length=200)
    action = models.CharField(max_length=40)
    target_type = models.CharField(max_length=20)
    target_id = models.CharField(max_length=100)
    reason = models.TextField(blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["target_type", "target_id"], name="action_by_target"),
            models.Index(fields=["-at", "id"], name="action_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.action} {self.target_type} {self.target_id}"

"""What limits are kept with: who holds a place, how many starts are left, which kinds are paused.

The limits themselves are settings of the queue. Written by `jobs/store/limiting.py` and `jobs/queue_steering.py` alone.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

__all__ = ["Bucket", "PausedKind", "Permit"]


class Permit(models.Model):
    """A running job of a limited queue. Written with the claim, deleted with the end of the attempt.

    Not one a job: a row that outlived its attempt counts too much, never too little, until it is swept away.
    """

    job_id = models.BigIntegerField()
    queue = models.CharField(max_length=100)
    key = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null is "no key", and is in no index range of one
    attempt = models.SmallIntegerField()
    worker_id = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["queue", "key"], name="permit_by_queue"),
            models.Index(fields=["job_id"], name="permit_by_job"),
        ]

    def __str__(self) -> str:
        return f"#{self.job_id} in {self.queue}"


class Bucket(models.Model):
    """The tokens of a rate, as of `refilled_at`: of a queue (`key` empty), or of one key in it.

    The queue's row is also the lock under which its limits are looked at and used up.
    """

    queue = models.CharField(max_length=100)
    key = models.CharField(max_length=200, blank=True)
    tokens = models.FloatField(default=0)
    refilled_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["queue", "key"], name="bucket_once")]

    def __str__(self) -> str:
        return f"{self.queue} {self.key}".strip()


class PausedKind(models.Model):
    """A kind of which no worker takes another job, in whatever queue."""

    kind = models.CharField(max_length=100, primary_key=True)
    paused_at = models.DateTimeField(db_default=Now())
    paused_by = models.CharField(max_length=200)
    reason = models.TextField(blank=True)

    class Meta:
        default_permissions = ("view",)
        permissions = [("pause_kind", "Can pause and resume kinds")]

    def __str__(self) -> str:
        return self.kind

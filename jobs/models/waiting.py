"""The narrow tables beside the job: one row for what a job waits for, or for the batch that runs it.

A row here says the same as the job's state and is changed in the same transaction, by `jobs/store` alone. Lists by
state are read from these tables. Foreign keys are not enforced by the database: a trigger per row would cost more than
the row, and a test compares the tables with the states instead.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.models.job import Job

__all__ = ["Blocked", "CancelRequest", "Claim", "Closed", "Ready", "Scheduled"]


class Beside(models.Model):
    """Base of the tables that hold at most one row a job."""

    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, db_constraint=False, related_name="%(class)s_row"
    )

    class Meta:
        abstract = True
        default_permissions = ()

    def __str__(self) -> str:
        return f"#{self.pk}"


class Ready(Beside):
    """An available job. `rank`: microseconds, smaller first: `ready_at - priority * ageing` (DESIGN 5.4).

    `key`: the job's `concurrency_key` where its queue limits keys, else null. Each kind of a queue, and each key, is a
    lane with an index range of its own, so that what nobody may take stands in nobody's way.
    """

    queue = models.CharField(max_length=100)
    kind = models.CharField(max_length=100)
    rank = models.BigIntegerField()
    key = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null is "no lane of its own", as in the indexes

    class Meta(Beside.Meta):
        indexes = [
            models.Index(
                fields=["queue", "kind", "rank", "job"], condition=Q(key__isnull=True), name="ready_by_kind"
            ),
            models.Index(
                fields=["queue", "key", "rank", "job"], condition=Q(key__isnull=False), name="ready_by_key"
            ),
        ]


class Scheduled(Beside):
    """A job that waits for time: scheduled, or retryable after a failure."""

    at = models.DateTimeField()
    state = models.CharField(max_length=10)

    class Meta(Beside.Meta):
        indexes = [models.Index(fields=["at", "job"], name="scheduled_by_time")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["scheduled", "retryable"]), name="scheduled_state_known"
            )
        ]


class Blocked(Beside):
    """A job that waits for parents. `pending`: how many have not completed."""

    pending = models.IntegerField()

    class Meta(Beside.Meta):
        constraints = [models.CheckConstraint(condition=Q(pending__gte=0), name="blocked_pending_range")]


class Closed(Beside):
    """A job that ended without completing: cancelled, discarded or skipped. `reason`: one sentence."""

    state = models.CharField(max_length=10)
    reason = models.TextField(blank=True)
    at = models.DateTimeField(db_default=Now())

    class Meta(Beside.Meta):
        indexes = [models.Index(fields=["state", "job"], name="closed_by_state")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["cancelled", "discarded", "skipped"]), name="closed_state_known"
            )
        ]


class CancelRequest(Beside):
    """Somebody asked a running job to stop; its worker reads this within a second."""

    at = models.DateTimeField(db_default=Now())
    reason = models.TextField(blank=True)


class Claim(models.Model):
    """A batch one worker took. A dead worker's jobs are read off here; removed when every job of it has ended."""

    worker_id = models.BigIntegerField()
    jobs = ArrayField(models.BigIntegerField())
    claimed_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["worker_id"], name="claim_by_worker")]

    def __str__(self) -> str:
        return f"claim {self.pk}: {len(self.jobs)} jobs of worker {self.worker_id}"

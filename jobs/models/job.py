"""The job, its ended attempts, and what a running job reports.

No index here mentions a column that a claim or a completion changes, so that both stay heap-only updates
(DESIGN 5.3b; the migration sets the fill factor). What waits stands in the narrow tables of `waiting.py`.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.states import State

__all__ = ["Attempt", "Job", "LogLine", "Progress"]

STATES = [(state.value, state.value) for state in State]


class Job(models.Model):
    """A unit of work. `attempt`: number of the running or last try, 0 before the first; with `worker_id` the fence."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=100)
    queue = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=STATES)
    priority = models.SmallIntegerField(default=0)
    attempt = models.SmallIntegerField(default=0)
    max_attempts = models.SmallIntegerField(default=5)
    payload = models.JSONField(default=dict)
    result = models.JSONField(null=True, blank=True)
    options = models.JSONField(
        null=True, blank=True, help_text="What differs from the kind: backoff, timeout."
    )
    created_at = models.DateTimeField(db_default=Now())
    scheduled_at = models.DateTimeField(help_text="Earliest start.")
    ready_at = models.DateTimeField(null=True, blank=True, help_text="When it last became available.")
    started_at = models.DateTimeField(
        null=True, blank=True, help_text="Start of the running or last attempt."
    )
    finished_at = models.DateTimeField(null=True, blank=True)
    worker_id = models.BigIntegerField(
        null=True, blank=True, help_text="Worker of the running or last attempt."
    )
    # No constraints in the database: their triggers run for each job that is submitted, also where there is no workflow
    # and nobody to name, and cost a bulk a fifth of its time. Users are deleted through Django, workflows by retention.
    workflow = models.ForeignKey(
        "jobs.Workflow",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="jobs",
    )
    task = models.CharField(
        max_length=200, blank=True, default="", help_text="The job's key in its workflow."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("submit_job", "Can submit jobs"),
            ("cancel_job", "Can cancel jobs"),
            ("run_now_job", "Can run a waiting job now"),
            ("reprioritise_job", "Can change a job's priority"),
            ("move_job", "Can move a waiting job to another queue"),
            ("reschedule_job", "Can change when a waiting job starts"),
        ]
        # State and priority are checked by domains in the database (migration 0012): a CHECK of the table is read anew
        # by every statement that writes a job.
        constraints = [
            models.CheckConstraint(
                condition=Q(attempt__gte=0, max_attempts__gte=1, attempt__lte=models.F("max_attempts")),
                name="job_attempt_range",
            ),
            models.CheckConstraint(
                condition=~Q(state="running")
                | Q(worker_id__isnull=False, attempt__gte=1, started_at__isnull=False),
                name="job_running_is_fenced",
            ),
        ]
        indexes = [
            models.Index(
                fields=["workflow", "id"], condition=Q(workflow__isnull=False), name="job_by_workflow"
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind}"


class Attempt(models.Model):
    """An ended try that did not complete the job: failed, rejected, lost, snoozed, cancelled, discarded.

    A completed one is the job's own row, and one that was given back never counted: writing a second row for every
    job that simply ran would cost more than it tells.
    """

    OUTCOMES = [(word, word) for word in ("failed", "lost", "rejected", "snoozed", "cancelled", "discarded")]

    job = models.ForeignKey(Job, on_delete=models.CASCADE, db_index=False, related_name="attempts")
    number = models.SmallIntegerField()
    worker_id = models.BigIntegerField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField()
    outcome = models.CharField(max_length=12, choices=OUTCOMES)
    error_class = models.CharField(max_length=200, blank=True)
    message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)

    class Meta:
        default_permissions = ("view",)
        indexes = [models.Index(fields=["job", "number"], name="attempt_by_job")]
        constraints = [models.CheckConstraint(condition=Q(number__gte=1), name="attempt_number_range")]

    def __str__(self) -> str:
        return f"#{self.job_id} attempt {self.number}: {self.outcome}"


class LogLine(models.Model):
    """One line a handler wrote. The newest `MAX_LOG_LINES` of a job are kept."""

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="log_lines"
    )
    attempt = models.SmallIntegerField()
    at = models.DateTimeField()
    level = models.CharField(max_length=10, default="info")
    line = models.TextField()

    class Meta:
        default_permissions = ("view",)
        indexes = [models.Index(fields=["job", "id"], name="logline_by_job")]

    def __str__(self) -> str:
        return self.line[:80]


class Progress(models.Model):
    """How far the running attempt says it is: `fraction` 0..1."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, db_constraint=False)
    attempt = models.SmallIntegerField()
    fraction = models.FloatField()
    note = models.CharField(max_length=500, blank=True)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=Q(fraction__gte=0, fraction__lte=1), name="progress_fraction_range"
            )
        ]

    def __str__(self) -> str:
        return f"{self.fraction:.0%} {self.note}"

"""What running handlers leave besides their end: external effects, recorded once; and how much of their log is gone."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.models.job import Job

__all__ = ["Effect", "LogLoss"]


class Effect(models.Model):
    """An effect on the outside world that `ctx.once` recorded: once per key, with its result.

    Outlives its job, since another job with the same key must find it; `EFFECT_RETENTION_SECONDS` says how long.
    """

    key = models.CharField(max_length=200, help_text="What the handler called it, such as charge:42.")
    scope = models.BigIntegerField(
        default=0, help_text="The job whose own key it is; 0 for a key of all jobs."
    )
    job = models.ForeignKey(
        Job, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="effects"
    )
    kind = models.CharField(max_length=100)
    attempt = models.SmallIntegerField()
    result = models.JSONField(null=True, blank=True, help_text="What the function returned.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["key", "scope"], name="effect_once")]
        indexes = [
            models.Index(fields=["job", "id"], name="effect_by_job"),
            models.Index(fields=["created_at"], name="effect_by_time"),
        ]

    def __str__(self) -> str:
        return self.key


class LogLoss(models.Model):
    """How many log lines of a job are gone. A job that kept all of its lines has no row here."""

    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, db_constraint=False, related_name="log_loss"
    )
    over_limit = models.BigIntegerField(
        default=0, help_text="The oldest lines, dropped because the job wrote more than MAX_LOG_LINES."
    )
    unsent = models.BigIntegerField(
        default=0, help_text="Lines its worker dropped while the database did not answer."
    )

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=Q(over_limit__gte=0, unsent__gte=0), name="logloss_not_negative")
        ]

    def __str__(self) -> str:
        return f"{self.over_limit + self.unsent} lines"

"""Queues and the worker processes that serve them."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["Queue", "WorkerProcess"]


class Queue(models.Model):
    """A named line of jobs. `ageing_seconds`: waiting so long is worth one step of priority; empty: strict priority.

    An empty limit is none. A rate allows `rate` starts in `rate_seconds`, and `rate_burst` of them at once (empty: as
    many as the rate). Those that begin with `key` hold for each `concurrency_key` of its jobs.
    """

    name = models.CharField(max_length=100, primary_key=True)
    description = models.CharField(max_length=500, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    ageing_seconds = models.FloatField(null=True, blank=True, default=60.0)
    weight = models.SmallIntegerField(
        default=1, db_default=1, help_text="Its share of a worker that serves several queues."
    )
    max_running = models.IntegerField(null=True, blank=True, help_text="Jobs at once, over all workers.")
    rate = models.IntegerField(null=True, blank=True, help_text="Starts in `rate_seconds`.")
    rate_seconds = models.FloatField(default=1.0, db_default=1.0)
    rate_burst = models.IntegerField(null=True, blank=True, help_text="Starts at once after a pause.")
    key_max_running = models.IntegerField(null=True, blank=True, help_text="Jobs at once of each key.")
    key_rate = models.IntegerField(null=True, blank=True, help_text="Starts of each key.")
    key_rate_seconds = models.FloatField(default=1.0, db_default=1.0)
    key_rate_burst = models.IntegerField(null=True, blank=True, help_text="Starts at once of each key.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view", "change")
        permissions = [("pause_queue", "Can pause and resume queues")]
        constraints = [
            models.CheckConstraint(
                condition=Q(ageing_seconds__isnull=True)
                | Q(ageing_seconds__gt=0, ageing_seconds__lte=86400 * 365),
                name="queue_ageing_range",
            ),
            models.CheckConstraint(condition=Q(weight__gte=1, weight__lte=100), name="queue_weight_range"),
            models.CheckConstraint(
                condition=(Q(max_running__isnull=True) | Q(max_running__gte=1))
                & (Q(rate__isnull=True) | Q(rate__gte=1))
                & (Q(rate_burst__isnull=True) | Q(rate_burst__gte=1))
                & Q(rate_seconds__gt=0)
                & (Q(key_max_running__isnull=True) | Q(key_max_running__gte=1))
                & (Q(key_rate__isnull=True) | Q(key_rate__gte=1))
                & (Q(key_rate_burst__isnull=True) | Q(key_rate_burst__gte=1))
                & Q(key_rate_seconds__gt=0),
                name="queue_limits_range",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class WorkerProcess(models.Model):
    """One process of `runworker`. `beat` grows with every heartbeat; `stats`: counters since its start."""

    STATES = [(word, word) for word in ("live", "draining", "stopped", "lost")]

    name = models.CharField(max_length=200)
    hostname = models.CharField(max_length=200)
    pid = models.IntegerField()
    queues = ArrayField(models.CharField(max_length=100))
    kinds = ArrayField(models.CharField(max_length=100))
    concurrency = models.IntegerField()
    strict = models.BooleanField(
        default=False, db_default=False, help_text="Takes from its queues in the order they are named."
    )
    state = models.CharField(max_length=10, choices=STATES, default="live")
    started_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    beat = models.BigIntegerField(default=0)
    stopped_at = models.DateTimeField(null=True, blank=True)
    stats = models.JSONField(default=dict)
    lost_running = models.IntegerField(
        default=0,
        db_default=0,
        help_text="Handlers of jobs that it has lost which still run. Each keeps its place until it ends.",
    )

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "worker processes"
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["live", "draining"]), name="worker_living"),
        ]

    def __str__(self) -> str:
        return f"{self.name} (worker {self.pk})"

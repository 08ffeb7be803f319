"""Queues and the worker processes that serve them."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["Queue", "WorkerProcess"]


class Queue(models.Model):
    """A named line of jobs. `ageing_seconds`: waiting so long is worth one step of priority; empty: strict priority."""

    name = models.CharField(max_length=100, primary_key=True)
    description = models.CharField(max_length=500, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    ageing_seconds = models.FloatField(null=True, blank=True, default=60.0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ("view", "change")
        permissions = [("pause_queue", "Can pause and resume queues")]
        constraints = [
            models.CheckConstraint(
                condition=Q(ageing_seconds__isnull=True)
                | Q(ageing_seconds__gt=0, ageing_seconds__lte=86400 * 365),
                name="queue_ageing_range",
            )
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
    state = models.CharField(max_length=10, choices=STATES, default="live")
    started_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    beat = models.BigIntegerField(default=0)
    stopped_at = models.DateTimeField(null=True, blank=True)
    stats = models.JSONField(default=dict)

    class Meta:
        default_permissions = ("view",)
        verbose_name_plural = "worker processes"
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["live", "draining"]), name="worker_living"),
        ]

    def __str__(self) -> str:
        return f"{self.name} (worker {self.pk})"

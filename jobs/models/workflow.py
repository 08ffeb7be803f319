"""Workflows: sets of jobs with edges."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from jobs.models.job import Job

__all__ = ["Dependency", "Workflow"]


class Workflow(models.Model):
    """A set of jobs. The counts follow each transition of its jobs; `state` is computed from them by the store.

    active: scheduled, available, running, retryable; closed: cancelled, discarded, skipped.
    """

    STATES = [(word, word) for word in ("running", "completed", "failed", "cancelled")]

    name = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=STATES, default="running")
    total = models.IntegerField()
    active = models.IntegerField()
    blocked = models.IntegerField()
    dead = models.IntegerField(default=0)
    completed = models.IntegerField(default=0)
    closed = models.IntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_index=False,
        related_name="+",
    )

    class Meta:
        default_permissions = ("view",)
        permissions = [("cancel_workflow", "Can cancel workflows")]
        constraints = [
            models.CheckConstraint(
                condition=Q(total=F("active") + F("blocked") + F("dead") + F("completed") + F("closed")),
                name="workflow_counts_add_up",
            ),
            models.CheckConstraint(
                condition=Q(active__gte=0, blocked__gte=0, dead__gte=0, completed__gte=0, closed__gte=0),
                name="workflow_counts_range",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"


class Dependency(models.Model):
    """An edge: `child` waits for `parent`. `condition`: what the parent must reach for the child to run."""

    CONDITIONS = [("completed", "completed")]

    parent = models.ForeignKey(Job, on_delete=models.CASCADE, db_index=False, related_name="child_edges")
    child = models.ForeignKey(Job, on_delete=models.CASCADE, db_index=False, related_name="parent_edges")
    condition = models.CharField(max_length=10, choices=CONDITIONS, default="completed")

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["child"], name="dependency_by_child")]
        constraints = [
            models.UniqueConstraint(fields=["parent", "child"], name="dependency_once"),
            models.CheckConstraint(condition=~Q(parent=F("child")), name="dependency_not_self"),
        ]

    def __str__(self) -> str:
        return f"#{self.parent_id} → #{self.child_id}"

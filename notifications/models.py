"""Tables of the event log. `notifications.log` and `notifications.ticker` are the only writers.

An Event row carries up to 500 events, so that a worker's batch is one insert. Which rows belong to which tick is
not stored: it follows from the row's transaction id and the snapshots of the two ticks around it.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.expressions import Func

from notifications.fields import JsonTextField, SnapshotField, Xid8Field

__all__ = ["Epoch", "Event", "Tick"]


class CurrentXid(Func):
    """The id of the transaction that inserts."""

    function = "pg_current_xact_id"
    output_field = Xid8Field()


class ClockTimestamp(Func):
    """The time of the statement's work, not of the transaction's start."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


class Event(models.Model):
    """Up to 500 events appended by one statement, in order. Like ones may stand as one series (`items.py`)."""

    id = models.BigAutoField(primary_key=True)
    xid = Xid8Field(db_default=CurrentXid(), editable=False)
    at = models.DateTimeField(db_default=ClockTimestamp())
    topics = ArrayField(models.TextField(), help_text="Distinct union of the topics of the row's events.")
    items = JsonTextField(help_text="[[kind, [topic, …], payload], …]")

    class Meta:
        indexes = [models.Index(fields=["xid"], name="notifications_event_xid")]

    def __str__(self) -> str:
        return f"events {self.pk}"


class Tick(models.Model):
    """One moment of the log: what had been committed then. Numbers have no gaps; only the oldest are deleted."""

    id = models.BigIntegerField(primary_key=True)
    snapshot = SnapshotField()
    at = models.DateTimeField(db_default=ClockTimestamp())

    def __str__(self) -> str:
        return f"tick {self.pk}"


class Epoch(models.Model):
    """The one row that says which life of the log this is, and when its ticker last showed that it is alive."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    value = models.CharField(max_length=16, help_text="Random; changes when the log was restored.")
    lineage = models.TextField(help_text="Identity of the database that the ticks were made in.")
    ticked_at = models.DateTimeField(db_default=ClockTimestamp())

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="notifications_epoch_single")]

    def __str__(self) -> str:
        return f"epoch {self.value}"

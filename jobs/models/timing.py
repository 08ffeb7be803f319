"""Narrow tables for what is rare: jobs that must begin or end by a time, and attempts under suspicion.

A job that uses neither has no row in them and costs nothing more.
"""

from __future__ import annotations

from django.db import models

from jobs.models.waiting import Beside

__all__ = ["Begun", "Expiring"]


class Expiring(Beside):
    """A job with a start deadline or a deadline. `at`: when it must be looked at next."""

    at = models.DateTimeField()

    class Meta(Beside.Meta):
        indexes = [models.Index(fields=["at", "job"], name="expiring_by_time")]


class Begun(Beside):
    """The handler of this attempt was begun; written first, for jobs that have lost a worker before.

    When the next worker is lost, this tells the job that may have caused it from those that were only claimed with it.
    """

    attempt = models.SmallIntegerField()
    worker_id = models.BigIntegerField()

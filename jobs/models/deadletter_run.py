"""Groups of dead letters, and what operators do with many of them: frozen sets, runs, and what an undo needs.

A run begins as a preview: a set of letters, frozen with a digest, that one operator may confirm while it is fresh. What
was replayed or discarded keeps its letter here, so that it can be taken back.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["DeadLetterGroup", "DeadLetterItem", "DeadLetterRun", "DeadLetterTally"]


class DeadLetterGroup(models.Model):
    """All dead letters with one fingerprint. It outlives them; one that nobody owns or noted goes in time.

    `count` lags behind by what stands in `DeadLetterTally`: both together are exact.
    """

    fingerprint = models.CharField(max_length=32, primary_key=True)
    error_class = models.CharField(max_length=200)
    message = models.TextField(blank=True, help_text="Of the first letter, shortened.")
    kinds = ArrayField(models.CharField(max_length=100), default=list, help_text="At most 20 of them.")
    count = models.BigIntegerField(default=0)
    first_seen = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_index=False,
        related_name="+",
        help_text="Who looks after it.",
    )
    note = models.TextField(blank=True, help_text="What is known about it.")

    class Meta:
        default_permissions = ("view", "change")
        verbose_name = "dead-letter group"
        indexes = [models.Index(fields=["-last_seen", "fingerprint"], name="group_by_time")]

    def __str__(self) -> str:
        return f"{self.error_class} {self.fingerprint[:8]}"


class DeadLetterTally(models.Model):
    """A change of a group's count that has not been added to it yet: one row for a batch, without any lock.

    Were the count changed in place, workers whose jobs die of the same error would wait for each other's commits.
    """

    fingerprint = models.CharField(max_length=32)
    kind = models.CharField(max_length=100)
    change = models.IntegerField()
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["fingerprint"], name="tally_by_fingerprint")]

    def __str__(self) -> str:
        return f"{self.fingerprint[:8]} {self.change:+d}"


class DeadLetterRun(models.Model):
    """What one operator does with a set of dead letters: from the preview to the end, and what became of them."""

    ACTIONS = [(word, word) for word in ("replay", "discard")]
    STATES = [(word, word) for word in ("previewed", "running", "paused", "halted", "stopped", "finished")]

    action = models.CharField(max_length=10, choices=ACTIONS)
    state = models.CharField(max_length=10, choices=STATES, default="previewed")
    operator = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, db_index=False, related_name="+"
    )
    operator_name = models.CharField(max_length=200)
    filters = models.JSONField(default=dict, help_text="What the set was chosen by.")
    total = models.IntegerField(default=0, help_text="Letters in the set.")
    truncated = models.BooleanField(default=False, help_text="More fitted than one run takes.")
    digest = models.CharField(max_length=64, blank=True, help_text="Of the set; a confirmation names it.")
    reason = models.TextField(blank=True)
    attempts = models.SmallIntegerField(default=1, help_text="Fresh attempts each job gets.")
    canary = models.BooleanField(
        default=False, help_text="One job goes first, and the rest when it completed."
    )
    per_minute = models.IntegerField(null=True, blank=True, help_text="Pace; null: as fast as batches go.")
    why = models.TextField(blank=True, help_text="Why it stands still.")
    done = models.IntegerField(default=0)
    refused = models.IntegerField(default=0)
    returned = models.IntegerField(default=0, help_text="Died again of the same error.")
    undone = models.IntegerField(default=0)
    canary_job = models.BigIntegerField(null=True, blank=True)
    canary_passed = models.BooleanField(default=False, help_text="The canary completed.")
    canary_waived = models.BooleanField(
        db_default=False,
        help_text="The run halted before the canary completed, and an operator let the rest go all the same.",
    )
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(help_text="Until then a preview can be confirmed.")
    confirmed_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True, help_text="When the next job is due.")
    looked_at = models.DateTimeField(null=True, blank=True, help_text="When a worker last looked after it.")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        verbose_name = "dead-letter run"
        indexes = [
            models.Index(fields=["looked_at"], condition=Q(state="running"), name="run_by_look"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["previewed", "running", "paused", "halted", "stopped", "finished"]),
                name="run_state_known",
            ),
            models.CheckConstraint(
                condition=Q(per_minute__isnull=True) | Q(per_minute__gte=1), name="run_pace_range"
            ),
        ]

    def __str__(self) -> str:
        letters = "1 dead letter" if self.total == 1 else f"{self.total:,} dead letters"
        return f"{self.action.capitalize()} of {letters} (run {self.pk})"


class DeadLetterItem(models.Model):
    """One letter of a run's set. `died_at` says which letter of the job was meant; `kept`: what an undo puts back.

    A job that was skipped with a discarded one is an item too (`skipped`), without a letter.
    """

    STATES = [(word, word) for word in ("chosen", "done", "refused", "returned", "undone", "skipped")]

    run = models.ForeignKey(DeadLetterRun, on_delete=models.CASCADE, db_index=False, related_name="items")
    job_id = models.BigIntegerField()
    fingerprint = models.CharField(max_length=32, blank=True)
    died_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=STATES, default="chosen")
    reason = models.TextField(blank=True)
    done_at = models.DateTimeField(null=True)
    kept = models.JSONField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["run", "job_id"], name="item_once")]
        indexes = [models.Index(fields=["run", "state", "id"], name="item_by_state")]

    def __str__(self) -> str:
        return f"#{self.job_id} of run {self.run_id}: {self.state}"

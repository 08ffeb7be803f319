"""What makes a repeated submission the same one: unique keys of jobs, and idempotency keys of requests.

Narrow tables that only those who use keys touch. A job without a unique key has no row here and pays nothing; whether a
key is still held is decided when somebody submits with it, from the state of the job, never when a job ends.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = ["IdempotencyKey", "UniqueKey"]


class UniqueKey(models.Model):
    """A key of a kind, and the job that holds it or held it last. It may outlive the job, as its completion record.

    `state`, `result` and `finished_at` are set when the job's row is deleted while the key still counts.
    """

    SCOPES = [(word, word) for word in ("unfinished", "window", "forever")]

    kind = models.CharField(max_length=100, help_text="Keys of different kinds never meet.")
    key = models.CharField(max_length=200)
    scope = models.CharField(max_length=10, choices=SCOPES, help_text="How long the job holds the key.")
    until = models.DateTimeField(null=True, blank=True, help_text="End of the window.")
    job_id = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=10, blank=True, default="", help_text="How the deleted job ended.")
    result = models.JSONField(null=True, blank=True, help_text="What the deleted job returned.")
    finished_at = models.DateTimeField(null=True, blank=True, help_text="When the deleted job ended.")

    class Meta:
        default_permissions = ("view",)
        verbose_name = "unique key"
        constraints = [
            # The key comes first: it is also looked for without the kind.
            models.UniqueConstraint(fields=["key", "kind"], name="uniquekey_held_once"),
            models.CheckConstraint(
                condition=Q(scope__in=["unfinished", "window", "forever"]), name="uniquekey_scope_known"
            ),
            models.CheckConstraint(
                condition=Q(scope="window", until__isnull=False)
                | (~Q(scope="window") & Q(until__isnull=True)),
                name="uniquekey_window_ends",
            ),
        ]
        indexes = [
            models.Index(fields=["job_id"], name="uniquekey_by_job"),
            models.Index(fields=["until"], condition=Q(until__isnull=False), name="uniquekey_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class IdempotencyKey(models.Model):
    """An `Idempotency-Key` that a user sent, with the answer it got: kept in the transaction of what it made."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_index=False, related_name="+"
    )
    route = models.TextField(help_text="Method and path.")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the request's body.")
    status = models.SmallIntegerField()
    location = models.TextField(blank=True)
    answer = models.TextField(help_text="JSON text of the answer's body.")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        verbose_name = "idempotency key"
        constraints = [
            # The key comes first: operators look for it without knowing whose it is.
            models.UniqueConstraint(fields=["key", "user", "route"], name="idempotencykey_used_once"),
        ]
        indexes = [models.Index(fields=["expires_at"], name="idempotencykey_by_end")]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"

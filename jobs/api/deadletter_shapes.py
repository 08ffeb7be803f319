"""Shapes of groups of dead letters and of runs over them: what clients send, and what they get."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.acting import MAX_AT_ONCE
from jobs.api.bodies import ReasonBody, RequiredReasonBody
from jobs.api.fields import Body, Id, Instant, JsonObject, Text, Whole
from jobs.api.shapes import ActionShape, Read
from jobs.deadletter_steering import MAX_NOTE
from jobs.deadletters import MAX_PER_MINUTE
from jobs.letter_preview import describe, outcomes
from jobs.models import DeadLetterGroup, DeadLetterItem, DeadLetterRun

__all__ = [
    "ConfirmBody",
    "FilterBody",
    "GroupBody",
    "GroupShape",
    "ItemShape",
    "LettersShape",
    "ReasonBody",
    "RunDetailShape",
    "RunShape",
    "UndoBody",
]


class Flag(serializers.BooleanField):
    """A JSON boolean; DRF's own takes "yes" and 1 as well."""

    default_error_messages = {"type": "must be true or false"}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("type")
        return data


class LettersShape(ActionShape):
    run = serializers.IntegerField(
        allow_null=True, help_text="The run it stands in, for an undo; null: nothing was done."
    )


class FilterBody(Body):
    """Which dead letters; what is left out does not narrow the set, so `{}` is all of them."""

    ids = serializers.ListField(child=Id(), allow_empty=False, max_length=MAX_AT_ONCE, required=False)
    kind = Text(max_length=100, required=False)
    queue = Text(max_length=100, required=False)
    fingerprint = Text(max_length=32, required=False)
    error_class = Text(max_length=200, required=False, help_text="Name of the exception's class, exactly.")
    workflow = Id(required=False)
    died_after = Instant(required=False, help_text="Died at this time or later.")
    died_before = Instant(required=False, help_text="Died before this time.")


class ConfirmBody(RequiredReasonBody):
    digest = Text(max_length=64, help_text="That of the preview.")
    attempts = Whole(min_value=1, max_value=1000, required=False, help_text="Fresh attempts; 1 if left out.")
    canary = Flag(
        required=False, help_text="One job goes first, and the rest when it completed. Of replays only."
    )
    per_minute = Whole(
        min_value=1,
        max_value=MAX_PER_MINUTE,
        required=False,
        allow_null=True,
        help_text="Pace. Of replays only.",
    )


class UndoBody(RequiredReasonBody):
    ids = serializers.ListField(
        child=Id(),
        allow_empty=False,
        max_length=MAX_AT_ONCE,
        required=False,
        help_text="Only these; all if left out.",
    )


class GroupBody(Body):
    owner = Text(
        max_length=150,
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="Name of a user; null: nobody.",
    )
    note = Text(max_length=MAX_NOTE, required=False, allow_blank=True)


class GroupShape(Read):
    letters = serializers.SerializerMethodField(help_text="Dead letters that wait now.")
    owner = serializers.SerializerMethodField(help_text="Name of a user, or null.")
    kinds = serializers.ListField(child=serializers.CharField(), help_text="At most 20 of them.")

    class Meta:
        model = DeadLetterGroup
        fields = [
            "fingerprint", "error_class", "message", "kinds", "letters", "first_seen", "last_seen", "owner", "note",
        ]  # fmt: skip

    def get_letters(self, group: Any) -> int:
        return max(0, int(group.letters))

    @extend_schema_field({"type": "string", "nullable": True})
    def get_owner(self, group: DeadLetterGroup) -> str | None:
        return None if group.owner is None else str(group.owner.get_username())


class RunShape(Read):
    filters = JsonObject(read_only=True, help_text="What the set was chosen by; `ids` as their number.")

    class Meta:
        model = DeadLetterRun
        fields = [
            "id", "action", "state", "operator_name", "filters", "total", "truncated", "digest", "reason", "attempts",
            "canary", "per_minute", "why", "done", "refused", "returned", "undone", "canary_job", "canary_passed",
            "canary_waived", "created_at", "expires_at", "confirmed_at", "next_at", "finished_at",
        ]  # fmt: skip


class PartShape(serializers.Serializer[Any]):
    kind = serializers.CharField()
    queue = serializers.CharField()
    letters = serializers.IntegerField()


class GroupPartShape(serializers.Serializer[Any]):
    fingerprint = serializers.CharField()
    error_class = serializers.CharField()
    letters = serializers.IntegerField()


class LeftAloneShape(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    reason = serializers.CharField()


class WhatShape(serializers.Serializer[Any]):
    """What would happen."""

    sentences = serializers.ListField(child=serializers.CharField())
    parts = PartShape(many=True, help_text="By kind and queue, the ten largest.")
    groups = GroupPartShape(many=True, help_text="By fingerprint, the ten largest.")
    jobs = serializers.ListField(child=serializers.IntegerField(), help_text="The first ten.")
    refused = LeftAloneShape(
        many=True, help_text="Of jobs that were named: those that are no dead letters, the first ten."
    )


class RunDetailShape(RunShape):
    """A run with what would happen (`preview`, until it is confirmed) or what became of its jobs (`outcomes`)."""

    preview = serializers.SerializerMethodField()
    outcomes = serializers.SerializerMethodField(help_text="Number of its jobs by the state they are in now.")

    class Meta(RunShape.Meta):
        fields = [*RunShape.Meta.fields, "preview", "outcomes"]

    @extend_schema_field(WhatShape(allow_null=True))
    def get_preview(self, run: DeadLetterRun) -> dict[str, Any] | None:
        if run.state != "previewed":
            return None
        found = describe(run)
        parts = [{"kind": kind, "queue": queue, "letters": number} for kind, queue, number in found.parts]
        by_error = [
            {"fingerprint": fingerprint, "error_class": error, "letters": number}
            for fingerprint, error, number in found.errors
        ]
        refused = [{"id": job, "reason": reason} for job, reason in found.refused]
        return {
            "sentences": found.sentences,
            "parts": parts,
            "groups": by_error,
            "jobs": found.jobs,
            "refused": refused,
        }

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "integer"}})
    def get_outcomes(self, run: DeadLetterRun) -> dict[str, int]:
        return dict(outcomes(run))


class ItemShape(Read):
    class Meta:
        model = DeadLetterItem
        fields = ["id", "job_id", "fingerprint", "died_at", "state", "reason", "done_at"]

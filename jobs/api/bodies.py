"""What clients send: the shape of each body. Ranges and meaning are decided by submit, control and steering."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs import conf
from jobs.api.fields import Body, Id, Instant, JsonObject, Seconds, Text, Whole
from jobs.control import MAX_AT_ONCE
from jobs.core.backoff import Backoff
from jobs.core.errors import InvalidValue
from jobs.errors import InvalidSubmission
from jobs.models import Schedule
from jobs.submit import JobSpec
from jobs.unique import LONGEST_WINDOW, MAX_KEY, POLICIES, SCOPES, Unique

__all__ = [
    "BulkBody",
    "BulkDiscardBody",
    "BulkReplayBody",
    "JobBody",
    "MoveBody",
    "NewQueueBody",
    "PreviewBody",
    "PriorityBody",
    "QueueBody",
    "ReasonBody",
    "ReplayBody",
    "RequiredReasonBody",
    "RescheduleBody",
    "ScheduleBody",
    "WorkflowBody",
    "spec_of",
]

_REASON = "Why; recorded with the action."
_DAY = 86_400.0


@extend_schema_field(
    {"type": "object", "additionalProperties": True, "example": {"type": "fixed", "seconds": 5}}
)
class BackoffField(JsonObject):
    """`{"type": "exponential" | "linear" | "fixed", …}`."""

    default_error_messages = {"backoff": "{reason}"}

    def to_internal_value(self, data: Any) -> Any:
        try:
            return Backoff.from_dict(super().to_internal_value(data))
        except InvalidValue as error:
            self.fail("backoff", reason=str(error))


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "maxLength": MAX_KEY},
            {
                "type": "object",
                "required": ["key"],
                "additionalProperties": False,
                "properties": {
                    "key": {"type": "string", "maxLength": MAX_KEY},
                    "scope": {"type": "string", "enum": list(SCOPES)},
                    "seconds": {
                        "type": "number",
                        "minimum": 0,
                        "exclusiveMinimum": True,
                        "maximum": LONGEST_WINDOW,
                    },
                    "policy": {"type": "string", "enum": list(POLICIES)},
                },
            },
        ],
        "example": "invoice:42",
    }
)
class UniqueField(serializers.Field):  # type: ignore[type-arg]
    """A text, or `{"key": …, "scope": …, "seconds": …, "policy": …}`."""

    def to_internal_value(self, data: Any) -> Unique:
        try:
            return Unique.read(data)
        except InvalidSubmission as error:
            _, _, inner = error.field.partition(".")
            raise serializers.ValidationError({inner: [error.reason]} if inner else error.reason) from None

    def to_representation(self, value: Any) -> Any:
        return value.to_dict()


@extend_schema_field({"oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]})
class DeadlineField(Instant):
    """A time as a text, or a number of seconds."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return data
        return super().to_internal_value(data)


class JobBody(Body):
    """One job. What is left out or null comes from the kind."""

    kind = Text(max_length=100, help_text="A kind that a handler is registered for.")
    payload = JsonObject(required=False, help_text="At most 256 KB and 32 levels deep.")
    queue = Text(max_length=100, required=False, allow_null=True)
    priority = Whole(
        min_value=-100, max_value=100, required=False, allow_null=True, help_text="Higher goes first."
    )
    max_attempts = Whole(min_value=1, max_value=1000, required=False, allow_null=True)
    scheduled_at = Instant(required=False, allow_null=True, help_text="Earliest start, with a zone.")
    timeout = Seconds(required=False, allow_null=True, help_text="Seconds an attempt may take.")
    backoff = BackoffField(required=False, allow_null=True, help_text="Waits between attempts.")
    expires_at = Instant(
        required=False,
        allow_null=True,
        help_text="Start deadline, with a zone: has it not begun by then, it is discarded.",
    )
    deadline = DeadlineField(
        required=False,
        allow_null=True,
        help_text="An instant with a zone, or seconds from now: no attempt begins or goes on after it.",
    )
    concurrency_key = Text(
        max_length=200,
        required=False,
        allow_null=True,
        help_text="Jobs of a queue with the same key share the queue's limits for keys.",
    )
    unique_key = UniqueField(
        required=False,
        allow_null=True,
        help_text="One job a key, within its kind: a text, or an object with rules.",
    )


class TaskBody(JobBody):
    """One job of a workflow."""

    key = Text(max_length=200, help_text="Its name in the workflow.")
    parents = serializers.ListField(
        child=Text(max_length=200), required=False, help_text="Keys of the jobs it waits for."
    )
    unique_key = None  # type: ignore[assignment] # not for these: a duplicate would leave a hole in the graph

    def _no_such_field(self, name: str) -> str:
        reason = "a job of a workflow cannot have one"
        return reason if name == "unique_key" else super()._no_such_field(name)


class ManyJobs(Body):
    """A body with `jobs`. Their number is checked before each of them is."""

    def to_internal_value(self, data: Any) -> Any:
        jobs = data.get("jobs") if isinstance(data, Mapping) else None
        limit = conf.get().MAX_BULK
        if isinstance(jobs, list) and len(jobs) > limit:
            reason = f"{len(jobs):,} jobs at once; at most {limit:,} are allowed"
            raise serializers.ValidationError({"jobs": [reason]})
        return super().to_internal_value(data)


class BulkBody(ManyJobs):
    jobs = JobBody(many=True, allow_empty=False, help_text="Submitted all or none, in this order.")


class WorkflowBody(ManyJobs):
    name = Text(max_length=200)
    jobs = TaskBody(many=True, allow_empty=False, help_text="Submitted all or none.")


def spec_of(checked: Mapping[str, Any]) -> JobSpec:
    return JobSpec(**checked)


class ReasonBody(Body):
    reason = Text(max_length=1000, required=False, allow_blank=True, help_text=_REASON)


class RequiredReasonBody(Body):
    reason = Text(max_length=1000, help_text=_REASON)


class PriorityBody(ReasonBody):
    priority = Whole(min_value=-100, max_value=100, help_text="Higher goes first.")


class ReplayBody(RequiredReasonBody):
    payload = JsonObject(required=False, help_text="Instead of the old one, which an undo brings back.")
    attempts = Whole(min_value=1, max_value=1000, required=False, help_text="Fresh attempts; 1 if left out.")


class BulkDiscardBody(RequiredReasonBody):
    ids = serializers.ListField(child=Id(), allow_empty=False, max_length=MAX_AT_ONCE)


class BulkReplayBody(BulkDiscardBody):
    attempts = Whole(min_value=1, max_value=1000, required=False, help_text="Fresh attempts; 1 if left out.")


class MoveBody(ReasonBody):
    queue = Text(max_length=100, help_text="Made where there is none.")


class RescheduleBody(ReasonBody):
    scheduled_at = Instant(help_text="Earliest start, with a zone; it lies ahead.")


def _limit(help_text: str) -> Whole:
    return Whole(min_value=1, max_value=1_000_000, required=False, allow_null=True, help_text=help_text)


class QueueBody(ReasonBody):
    description = Text(
        max_length=500, required=False, allow_blank=True, help_text="What it is for and who looks after it."
    )
    ageing_seconds = Seconds(
        required=False,
        allow_null=True,
        help_text="Waiting this long is worth one step of priority; null: strict priority.",
    )
    weight = Whole(
        min_value=1, max_value=100, required=False, help_text="Share of workers that serve several queues."
    )
    max_running = _limit("Jobs at once, over all workers; null: no limit.")
    rate = _limit("Starts within `rate_seconds`; null: no limit.")
    rate_seconds = Seconds(required=False, help_text="In how many seconds `rate` jobs may start.")
    rate_burst = _limit("Starts at once after a pause; null: as many as the rate.")
    key_max_running = _limit("Jobs at once of each `concurrency_key`; null: no limit.")
    key_rate = _limit("Starts of each key within `key_rate_seconds`; null: no limit.")
    key_rate_seconds = Seconds(required=False, help_text="In how many seconds `key_rate` jobs may start.")
    key_rate_burst = _limit("Starts of each key at once after a pause; null: as many as its rate.")


class NewQueueBody(QueueBody):
    name = Text(max_length=100, help_text="Letters, digits and `_.:-`; begins with a letter or a digit.")


class ScheduleBody(ReasonBody):
    name = Text(max_length=200)
    kind = Text(max_length=100)
    payload = JsonObject(required=False)
    queue = Text(
        max_length=100, required=False, allow_null=True, allow_blank=True, help_text="Null: the kind's."
    )
    priority = Whole(
        min_value=-100, max_value=100, required=False, allow_null=True, help_text="Null: the kind's."
    )
    cron = Text(max_length=200, help_text="Five fields: minute, hour, day of month, month, day of week.")
    timezone = Text(max_length=60, required=False, help_text="IANA name; UTC if left out.")
    misfire = serializers.ChoiceField(choices=Schedule.MISFIRE, required=False)
    catch_up_seconds = Seconds(required=False, help_text="How far back missed slots count.")

    def validate_queue(self, value: str | None) -> str:
        return value or ""

    @staticmethod
    def complete(checked: Mapping[str, Any]) -> dict[str, Any]:
        """For PUT: what was left out has its default again."""
        defaults: dict[str, Any] = {
            "payload": {},
            "queue": "",
            "priority": None,
            "timezone": "UTC",
            "misfire": "latest",
            "catch_up_seconds": _DAY,
        }
        return {**defaults, **checked}


class PreviewBody(Body):
    cron = Text(max_length=200)
    timezone = Text(max_length=60, required=False, help_text="IANA name; UTC if left out.")
    count = Whole(min_value=1, max_value=100, required=False, help_text="5 if left out.")
    after = Instant(required=False, help_text="Slots later than this; now if left out.")

"""What clients get: the shape of each resource. Lists leave out what can be large; the single resource has it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.api.fields import JsonObject, Read
from jobs.api.running_shapes import LogLossShape, ProgressShape
from jobs.explanation import overtaken_until
from jobs.models import (
    Attempt,
    DeadLetter,
    Job,
    Queue,
    Schedule,
    Slot,
    UniqueKey,
    WorkerProcess,
    Workflow,
)
from jobs.models.effect import LogLoss
from jobs.models.job import Progress
from jobs.states import State

__all__ = [
    "ActionShape",
    "AttemptShape",
    "DeadLetterDetailShape",
    "DeadLetterShape",
    "JobDetailShape",
    "JobShape",
    "PreviewShape",
    "QueueShape",
    "Read",
    "ScheduleShape",
    "SlotShape",
    "WorkerShape",
    "WorkflowDetailShape",
    "WorkflowShape",
]

_ANY: dict[str, Any] = {}


class JobShape(Read):
    class Meta:
        model = Job
        fields = [
            "id", "kind", "queue", "state", "priority", "attempt", "max_attempts", "created_at", "scheduled_at",
            "ready_at", "started_at", "finished_at", "worker_id", "workflow", "task", "created_by",
        ]  # fmt: skip


class ErrorShape(Read):
    class Meta:
        model = DeadLetter
        fields = ["error_class", "message", "traceback", "attempts", "fingerprint", "died_at"]


class UniqueKeyShape(Read):
    class Meta:
        model = UniqueKey
        fields = ["key", "scope", "until"]


class JobDetailShape(JobShape):
    """A job with everything about it. `error`: of a dead letter; `reason`: why it was closed."""

    payload = JsonObject(read_only=True)
    result = extend_schema_field(_ANY)(serializers.JSONField)(read_only=True)
    options = extend_schema_field({"type": "object", "nullable": True})(serializers.JSONField)(
        read_only=True,
        help_text="What differs from the kind: backoff, timeout, unique key, concurrency key; expires_at, deadline; "
        "losses of workers.",
    )
    progress = serializers.SerializerMethodField()
    log_loss = serializers.SerializerMethodField(
        help_text="Log lines that are gone; null while all are kept."
    )
    error = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    unique_key = serializers.SerializerMethodField(help_text="The unique key it holds, or held last.")
    overtaken_until = serializers.SerializerMethodField(
        help_text="Of an available job: what becomes ready later than this, in its queue, starts after it. "
        "Null in a queue without ageing."
    )
    parents = serializers.SerializerMethodField(help_text="Ids of the jobs it waits for or waited for.")
    children = serializers.SerializerMethodField(help_text="Ids of the jobs that wait for it, or waited.")

    class Meta(JobShape.Meta):
        fields = [
            *JobShape.Meta.fields, "payload", "result", "options", "progress", "log_loss", "error", "reason",
            "unique_key", "overtaken_until", "parents", "children",
        ]  # fmt: skip

    @extend_schema_field(ProgressShape(allow_null=True))
    def get_progress(self, job: Job) -> Any:
        found = Progress.objects.filter(pk=job.pk).first()
        return None if found is None else ProgressShape(found).data

    @extend_schema_field(LogLossShape(allow_null=True))
    def get_log_loss(self, job: Job) -> Any:
        found = LogLoss.objects.filter(pk=job.pk).first()
        return None if found is None else LogLossShape(found).data

    @extend_schema_field(ErrorShape(allow_null=True))
    def get_error(self, job: Job) -> Any:
        found = DeadLetter.objects.filter(pk=job.pk).first() if job.state == State.DEAD else None
        return None if found is None else ErrorShape(found).data

    def get_reason(self, job: Job) -> str | None:
        row = getattr(job, "closed_row", None)
        return None if row is None else str(row.reason)

    @extend_schema_field(UniqueKeyShape(allow_null=True))
    def get_unique_key(self, job: Job) -> Any:
        found = UniqueKey.objects.filter(job_id=job.pk).first()
        return None if found is None else UniqueKeyShape(found).data

    def get_overtaken_until(self, job: Job) -> datetime | None:
        return overtaken_until(job)

    def get_parents(self, job: Job) -> list[int]:
        return sorted(job.parent_edges.values_list("parent_id", flat=True))

    def get_children(self, job: Job) -> list[int]:
        return sorted(job.child_edges.values_list("child_id", flat=True))


class AttemptShape(serializers.Serializer[Any]):
    """A try. The running or last one is told from the job itself, so it has no `id`."""

    id = serializers.IntegerField(allow_null=True)
    number = serializers.IntegerField()
    worker_id = serializers.IntegerField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    outcome = serializers.ChoiceField(
        choices=[*Attempt.OUTCOMES, ("running", "running"), ("completed", "completed")]
    )
    error_class = serializers.CharField()
    message = serializers.CharField()
    traceback = serializers.CharField()


class RefusalShape(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    reason = serializers.CharField()


class ActionShape(serializers.Serializer[Any]):
    """What an action did."""

    done = serializers.ListField(child=serializers.IntegerField(), help_text="Ids of the jobs it changed.")
    requested = serializers.ListField(
        child=serializers.IntegerField(), help_text="Running jobs whose workers were asked to stop."
    )
    refused = RefusalShape(many=True, help_text="What it left alone, and why.")


class WorkflowShape(Read):
    class Meta:
        model = Workflow
        fields = [
            "id", "name", "state", "total", "active", "blocked", "dead", "completed", "closed", "created_at",
            "finished_at", "cancelled_at", "created_by",
        ]  # fmt: skip


class WorkflowJobShape(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    key = serializers.CharField()
    kind = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in State])
    parents = serializers.ListField(
        child=serializers.IntegerField(), help_text="Ids of the jobs it waits for."
    )


class WorkflowDetailShape(WorkflowShape):
    """A workflow with its jobs and their edges."""

    jobs = serializers.SerializerMethodField()

    class Meta(WorkflowShape.Meta):
        fields = [*WorkflowShape.Meta.fields, "jobs"]

    @extend_schema_field(WorkflowJobShape(many=True))
    def get_jobs(self, workflow: Workflow) -> list[dict[str, Any]]:
        # Plain dicts: a workflow may have thousands of jobs, and a serializer for each takes most of the time.
        jobs = workflow.jobs.order_by("pk").values("id", "task", "kind", "state")
        edges = Job.objects.filter(workflow=workflow).values_list("pk", "parent_edges__parent_id")
        parents: dict[int, list[int]] = {}
        for child, parent in edges:
            parents.setdefault(child, []).extend([] if parent is None else [parent])
        return [
            {
                "id": job["id"],
                "key": job["task"],
                "kind": job["kind"],
                "state": job["state"],
                "parents": sorted(parents.get(job["id"], [])),
            }
            for job in jobs
        ]


class ScheduleShape(Read):
    payload = JsonObject(read_only=True)
    queue = serializers.SerializerMethodField(help_text="Null: the kind's.")

    class Meta:
        model = Schedule
        fields = [
            "id", "name", "kind", "payload", "queue", "priority", "cron", "timezone", "misfire", "catch_up_seconds",
            "paused_at", "next_slot_at", "last_slot_at", "created_at", "created_by",
        ]  # fmt: skip

    def get_queue(self, schedule: Schedule) -> str | None:
        return schedule.queue or None


class SlotShape(Read):
    class Meta:
        model = Slot
        fields = ["at", "job_id", "created_at"]


class PreviewShape(serializers.Serializer[Any]):
    slots = serializers.ListField(child=serializers.DateTimeField(), help_text="In UTC.")
    local = serializers.ListField(child=serializers.CharField(), help_text="The same in the schedule's zone.")


class DeadLetterShape(Read):
    """`id` is the id of the job."""

    id = serializers.IntegerField(source="job_id", read_only=True)

    class Meta:
        model = DeadLetter
        fields = ["id", "kind", "queue", "error_class", "message", "attempts", "fingerprint", "died_at"]


class DeadLetterDetailShape(DeadLetterShape):
    class Meta(DeadLetterShape.Meta):
        fields = [*DeadLetterShape.Meta.fields, "traceback"]


class QueueShape(Read):
    class Meta:
        model = Queue
        fields = [
            "name", "description", "paused_at", "ageing_seconds", "weight", "max_running", "rate", "rate_seconds",
            "rate_burst", "key_max_running", "key_rate", "key_rate_seconds", "key_rate_burst", "created_at",
        ]  # fmt: skip


class WorkerShape(Read):
    stats = JsonObject(read_only=True, help_text="Counters since its start.")

    class Meta:
        model = WorkerProcess
        fields = [
            "id", "name", "hostname", "pid", "queues", "kinds", "concurrency", "lost_running", "strict", "state",
            "started_at", "heartbeat_at", "stopped_at", "stats",
        ]  # fmt: skip

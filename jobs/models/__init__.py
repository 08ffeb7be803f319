"""The tables of the jobs app. Fields, constraints, indexes; nothing but `jobs/store` changes a job."""

from __future__ import annotations

from jobs.models.deadletter import DeadLetter, OperatorAction
from jobs.models.deadletter_run import DeadLetterGroup, DeadLetterItem, DeadLetterRun, DeadLetterTally
from jobs.models.effect import Effect, LogLoss
from jobs.models.job import Attempt, Job, LogLine, Progress
from jobs.models.keys import IdempotencyKey, UniqueKey
from jobs.models.limits import Bucket, PausedKind, Permit
from jobs.models.queue import Queue, WorkerProcess
from jobs.models.schedule import Schedule, Slot
from jobs.models.timing import Begun, Expiring
from jobs.models.waiting import Blocked, CancelRequest, Claim, Closed, Ready, Scheduled
from jobs.models.workflow import Dependency, Workflow

__all__ = [
    "Attempt",
    "Begun",
    "Blocked",
    "Bucket",
    "CancelRequest",
    "Claim",
    "Closed",
    "DeadLetter",
    "DeadLetterGroup",
    "DeadLetterItem",
    "DeadLetterRun",
    "DeadLetterTally",
    "Dependency",
    "Effect",
    "Expiring",
    "IdempotencyKey",
    "Job",
    "LogLine",
    "LogLoss",
    "OperatorAction",
    "PausedKind",
    "Permit",
    "Progress",
    "Queue",
    "Ready",
    "Schedule",
    "Scheduled",
    "Slot",
    "UniqueKey",
    "WorkerProcess",
    "Workflow",
]

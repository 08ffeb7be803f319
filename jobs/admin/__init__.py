"""The operators' pages, on django-unfold. Importing this registers them; Django does it when the apps are ready.

Lists go by key and never count; pages only read; what changes something is an `Act` with a confirmation page, or one
of our forms, and ends in `jobs.control` or `jobs.steering`. Users need `is_staff` to come in at all, and then see and
do what their permissions say (the groups Operators and Viewers have them).
"""

from __future__ import annotations

from jobs.admin.audit import OperatorActionAdmin
from jobs.admin.deadletter_groups import DeadLetterGroupAdmin
from jobs.admin.deadletter_runs import DeadLetterRunAdmin
from jobs.admin.deadletters import DeadLetterAdmin
from jobs.admin.jobs import JobAdmin
from jobs.admin.keys import IdempotencyKeyAdmin, UniqueKeyAdmin
from jobs.admin.kinds import PausedKindAdmin
from jobs.admin.queues import QueueAdmin
from jobs.admin.schedules import ScheduleAdmin
from jobs.admin.workers import WorkerProcessAdmin
from jobs.admin.workflows import WorkflowAdmin

__all__ = [
    "DeadLetterAdmin",
    "DeadLetterGroupAdmin",
    "DeadLetterRunAdmin",
    "IdempotencyKeyAdmin",
    "JobAdmin",
    "OperatorActionAdmin",
    "PausedKindAdmin",
    "QueueAdmin",
    "ScheduleAdmin",
    "UniqueKeyAdmin",
    "WorkerProcessAdmin",
    "WorkflowAdmin",
]

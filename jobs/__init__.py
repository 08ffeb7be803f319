"""Background jobs in PostgreSQL: submit them here, declare their handlers with `@job`.

The public names of the app. Importing them needs no configured Django; calling them does.
"""

from __future__ import annotations

from jobs.outcomes import Cancel, Completed, Discard, Reject, Retry, Snooze
from jobs.registry import job
from jobs.submit import JobSpec, Submitted, submit, submit_many, submit_workflow
from jobs.unique import Unique

__all__ = [
    "Cancel",
    "Completed",
    "Discard",
    "JobSpec",
    "Reject",
    "Retry",
    "Snooze",
    "Submitted",
    "Unique",
    "job",
    "submit",
    "submit_many",
    "submit_workflow",
]

"""Every error the jobs app raises on purpose; this module imports nothing.

Each class is a cause a program can branch on; the text is for people. `field` names the part of the input that is
wrong, so that forms, REST and the command line can show it where it belongs.
"""

from __future__ import annotations

__all__ = [
    "ActionRefused",
    "ConfigurationError",
    "DuplicateJob",
    "EffectBusy",
    "EffectNotRecorded",
    "InvalidSubmission",
    "JobCancelled",
    "JobTimeout",
    "JobsError",
    "MemoryLimit",
    "NotFound",
    "PermanentError",
    "ProcessDied",
    "UnknownKind",
    "WorkerLost",
]


class JobsError(Exception):
    """Base of all errors of the jobs app."""


class ConfigurationError(JobsError):
    """A setting, or the declaration of a kind, is wrong; raised while starting, never while running."""


class InvalidSubmission(JobsError):
    """What was submitted cannot be a job. `field`: dotted path of the input; `reason`: one sentence."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class UnknownKind(InvalidSubmission):
    """No registered handler has this kind. `suggestion`: the nearest registered name, or None."""

    def __init__(self, kind: str, suggestion: str | None = None) -> None:
        hint = f' Did you mean "{suggestion}"?' if suggestion else ""
        super().__init__("kind", f'no handler is registered for "{kind}".{hint}')
        self.kind = kind
        self.suggestion = suggestion


class NotFound(JobsError):
    """The job, workflow, queue, schedule or worker that was named does not exist."""


class ActionRefused(JobsError):
    """An operator's action is not possible in the present state. `reason`: one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DuplicateJob(ActionRefused):
    """The unique key belongs to another job, and the submission wants to be refused then. `job_id`: who holds it."""

    def __init__(self, field: str, reason: str, *, job_id: int | None) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.why = reason
        self.job_id = job_id


class PermanentError(JobsError):
    """Raised by a handler: trying again cannot help, so the job becomes a dead letter at once."""


class JobTimeout(JobsError):
    """The job ran longer than its `timeout`."""


class JobCancelled(JobsError):
    """Raised by `ctx.raise_if_cancelled()`: somebody asked for the running job to stop."""


class ProcessDied(JobsError):
    """The child process of an isolated handler ended without an answer; recorded with exit code or signal."""


class MemoryLimit(JobsError):
    """An isolated handler needed more than its `memory_mb`; recorded in place of its MemoryError."""


class EffectBusy(JobsError):
    """Raised by `ctx.once`: another attempt is at the same key and did not end within the wait. Worth trying again."""

    def __init__(self, key: str, wait: float) -> None:
        super().__init__(f'effect "{key}": another attempt is at it and was not through within {wait:g} s')
        self.key = key


class EffectNotRecorded(JobsError):
    """Raised by `ctx.once`: the function ran, and the database was away for too long to record it. It may run again."""

    def __init__(self, key: str) -> None:
        super().__init__(f'effect "{key}" happened, but could not be recorded; it may happen again')
        self.key = key


class WorkerLost(JobsError):
    """The worker that ran the job stopped answering; recorded on the attempt it held."""

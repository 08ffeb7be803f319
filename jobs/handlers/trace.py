"""`workflow.task`: a task of a recorded workflow, played back as a sleep of its recorded length.

`import_workflow` submits these. With a history each run appends two lines, so that a program that shares no
code with this one can check order and completeness. A payload can come from anybody who may submit, and must
not choose a file: the path travels signed, for one task, by the command that an operator ran on this machine.
"""

from __future__ import annotations

import json
import os
import stat
import time
from typing import TYPE_CHECKING, Annotated, Any

from django.core import signing
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from jobs.errors import JobsError, PermanentError
from jobs.handlers.payloads import parse
from jobs.registry import job

if TYPE_CHECKING:
    from jobs.context import JobContext

__all__ = ["HistoryNotWritten", "HistoryRefused", "TaskPayload", "sign_history", "workflow_task"]

_SALT = "opsched.workflow.history"
_SLICE = 0.1  # seconds: how soon a cancelled task wakes up


class HistoryRefused(PermanentError):
    """The history's path is not signed for this task, or leads to no ordinary file."""


class HistoryNotWritten(JobsError):
    """The disk took only a part of a line."""


class TaskPayload(BaseModel):
    """`task` is the id in the workflow's file; `history` is what `sign_history` gave, or None."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    task: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    seconds: Annotated[float, Field(ge=0, le=30 * 86400)]
    history: Annotated[str, StringConstraints(max_length=10_000)] | None = None


def sign_history(path: str | os.PathLike[str], task: str) -> str:
    """A token that lets the job of `task`, and no other, append to `path` (made absolute, links followed)."""
    return signing.Signer(salt=_SALT).sign_object({"path": os.path.realpath(path), "task": task})


def _history_path(token: str, task: str) -> str:
    try:
        signed = signing.Signer(salt=_SALT).unsign_object(token)
    except signing.BadSignature:
        raise HistoryRefused("history: not signed by import_workflow of this installation") from None
    if signed["task"] != task:
        raise HistoryRefused("history: signed for another task")
    return str(signed["path"])


@job("workflow.task", max_attempts=5, payload_model=TaskPayload)
def workflow_task(ctx: JobContext, payload: dict[str, Any]) -> None:
    """Sleep as long as the recorded task ran. Raises JobCancelled within 0.1 s when cancelled."""
    asked = parse(TaskPayload, payload)
    path = None if asked.history is None else _history_path(asked.history, asked.task)
    _note(path, ctx, asked.task, "start")
    _sleep(ctx, asked.seconds)
    _note(path, ctx, asked.task, "end")


def _sleep(ctx: JobContext, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ctx.raise_if_cancelled()
        time.sleep(min(left, _SLICE))
    ctx.raise_if_cancelled()


def _note(path: str | None, ctx: JobContext, task: str, event: str) -> None:
    """Append one line in one write: writers in other processes cannot come between its bytes."""
    if path is None:
        return
    line = {"task": task, "event": event, "at": time.time(), "attempt": ctx.attempt, "pid": os.getpid()}
    data = json.dumps(line).encode() + b"\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    handle = os.open(path, flags, 0o644)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise HistoryRefused("history: not an ordinary file")
        if os.write(handle, data) != len(data):
            raise HistoryNotWritten("history: the disk took only a part of a line")
    finally:
        os.close(handle)

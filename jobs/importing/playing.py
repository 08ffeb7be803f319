"""From a trace to a workflow of jobs that play it back, submitted in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobs import conf
from jobs.handlers.trace import TaskPayload, sign_history
from jobs.importing.errors import WorkflowFileError
from jobs.importing.wfformat import Trace
from jobs.submit import JobSpec, submit_workflow

__all__ = ["KIND", "play"]

KIND = "workflow.task"
_MAX_SECONDS = 30 * 86400.0


def play(
    trace: Trace, *, time_scale: float, name: str = "", queue: str | None = None, history: Path | None = None
) -> int:
    """Submit the trace; the workflow's id. `history`: an absolute path that each job appends its start and end to.

    Raises WorkflowFileError where a task would take too long or the workflow has too many, InvalidSubmission for a
    name or queue that cannot be.
    """
    _check_bounds(trace, time_scale)
    specs: Sequence[JobSpec] = [
        JobSpec(
            kind=KIND,
            key=task.id,
            parents=task.parents,
            queue=queue,
            payload=_payload(task.id, task.seconds * time_scale, history),
        )
        for task in trace.tasks
    ]
    workflow_id, _ = submit_workflow(name or trace.name, specs)
    return workflow_id


def _check_bounds(trace: Trace, time_scale: float) -> None:
    limit = conf.get().MAX_BULK
    if len(trace.tasks) > limit:
        raise WorkflowFileError(
            "", f"has {len(trace.tasks):,} tasks; at most {limit:,} are allowed (OPSCHED[MAX_BULK])"
        )
    longest = max(trace.tasks, key=lambda task: task.seconds)
    if longest.seconds * time_scale > _MAX_SECONDS:
        seconds = f"{longest.seconds * time_scale:g}"
        raise WorkflowFileError(
            "", f"the task {longest.id!r} would take {seconds} s, more than 30 days: lower --time-scale"
        )


def _payload(task: str, seconds: float, history: Path | None) -> dict[str, object]:
    payload: dict[str, object] = {"task": task, "seconds": seconds}
    if history is not None:
        payload["history"] = sign_history(history, task)
    return TaskPayload.model_validate(payload).model_dump(exclude_none=True)
